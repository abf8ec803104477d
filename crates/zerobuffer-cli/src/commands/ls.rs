//! `zerobuffer ls`.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use zerobuffer::inspect::{Listing, Protocol, Snapshot};
use zerobuffer::printable;

use crate::args::LsArgs;
use crate::commands::inspect;
use crate::commands::repeat::repeat;
use crate::exit::finish;
use crate::output::json;
use crate::sizes;

pub(crate) fn run(args: &LsArgs) -> ExitCode {
    finish(repeat(args.watch, || show(args)))
}

fn show(args: &LsArgs) -> anyhow::Result<(String, bool)> {
    let dir = args.place.dir();
    let listings = zerobuffer::inspect::list(&dir)
        .map_err(|error| anyhow::anyhow!("{}: {error}", printable(&dir)))?;
    if args.json {
        let list: Vec<Value> = listings.iter().map(entry).collect();
        return Ok((json(&list)? + "\n", true));
    }
    if listings.is_empty() {
        return Ok((format!("no buffers in {}\n", printable(&dir)), true));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
        .set_header(["NAME", "PROTOCOL", "RING", "UNREAD", "FRAMES", "WRITER", "READERS", "STATE"]);
    for listing in &listings {
        table.add_row(row(listing).map(|cell| printable(&cell).to_string()));
    }
    Ok((format!("{table}\n"), true))
}

fn row(listing: &Listing) -> [String; 8] {
    let name = listing.name.clone();
    let protocol = inspect::protocol(listing.protocol).to_owned();
    let snapshot = match &listing.snapshot {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let none = String::new;
            return [name, protocol, none(), none(), none(), none(), none(), error.to_string()];
        }
    };
    let readers: Vec<String> = snapshot
        .readers
        .iter()
        .map(|reader| match (reader.attached, reader.alive) {
            (true, true) => format!("{} ({})", reader.name, reader.pid),
            (true, false) => format!("{} (dead)", reader.name),
            (false, _) => format!("{} (away)", reader.name),
        })
        .collect();
    [
        name,
        protocol,
        sizes::show(snapshot.payload_bytes),
        sizes::show(snapshot.fill_bytes),
        frames(snapshot),
        snapshot.writer.as_ref().map_or_else(|| "-".to_owned(), inspect::writer),
        if readers.is_empty() { "-".to_owned() } else { readers.join(", ") },
        inspect::state(snapshot),
    ]
}

/// Frames ever written. Protocol 1.0 counts its wrap markers with them.
fn frames(snapshot: &Snapshot) -> String {
    match snapshot.protocol {
        Protocol::V1 => format!("<= {}", snapshot.newest_sequence),
        _ => snapshot.newest_sequence.to_string(),
    }
}

fn entry(listing: &Listing) -> Value {
    match &listing.snapshot {
        Ok(snapshot) => inspect::json(snapshot),
        Err(error) => serde_json::json!({
            "name": listing.name,
            "path": listing.path.to_string_lossy(),
            "protocol": inspect::protocol(listing.protocol),
            "error": error.to_string(),
        }),
    }
}
