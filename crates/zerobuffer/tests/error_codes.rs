//! Numbers of errors: each condition has one, and the table in the documents is the code's.

use std::collections::BTreeSet;
use std::sync::Arc;

use zerobuffer::duplex::CallError;
use zerobuffer::{Error, ErrorCode, MetadataError, OpenError, ReadError, WriteError};

#[test]
fn every_code_stands_in_the_table_and_nothing_else_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ERRORS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let number: u16 = cells.next()?.parse().ok()?;
            Some((number, cells.next()?.trim_matches('`').to_owned()))
        })
        .collect();
    let codes: Vec<_> =
        ErrorCode::ALL.iter().map(|code| (code.number(), format!("{code:?}"))).collect();
    assert_eq!(rows, codes);
    let numbers: BTreeSet<_> = codes.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), codes.len(), "two have one number");
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
    }
    assert_eq!(ErrorCode::from_number(0), None);
}

#[test]
fn one_condition_has_one_code_whichever_call_meets_it() {
    let name: Arc<str> = "cam".into();
    let forked: [Error; 4] = [
        WriteError::Forked { name: name.clone() }.into(),
        ReadError::Forked { name: name.clone() }.into(),
        MetadataError::Forked { name: name.clone() }.into(),
        CallError::from(ReadError::Forked { name: name.clone() }).into(),
    ];
    for error in &forked {
        assert_eq!((error.code(), error.is_final()), (ErrorCode::Forked, true), "{error}");
        assert!(!error.is_timeout());
    }
    let gone = OpenError::NotFound { name: "cam".into(), dir: "/dev/shm".into() };
    let error = Error::from(CallError::from(Arc::new(gone)));
    assert_eq!((error.code().number(), error.is_final()), (102, false));
    assert_eq!(error.code().to_string(), "NotFound (102)");
    let too_large = WriteError::FrameTooLarge { name, bytes: 2, max: 1 };
    assert!(!too_large.is_final() && !too_large.is_timeout() && !too_large.is_full());
}

#[test]
fn families_of_codes_are_what_the_predicates_say() {
    for code in ErrorCode::ALL {
        assert_eq!(code.is_final(), code.number() > 600, "{code}");
        assert_eq!(code.is_not_now(), (201..300).contains(&code.number()), "{code}");
    }
}
