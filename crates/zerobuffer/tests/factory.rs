//! Duplex channels under the names of the deployed libraries.

use std::time::Duration;

use zerobuffer::BufferConfig;
use zerobuffer::duplex::{CallError, DuplexChannelFactory, DuplexClient, Failure};

const PATIENCE: Duration = Duration::from_secs(20);

fn factory() -> (tempfile::TempDir, DuplexChannelFactory) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let factory = DuplexChannelFactory::new().dir(dir.path());
    (dir, factory)
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16)
}

/// Code that takes any client.
fn ask(client: &dyn DuplexClient, request: &[u8]) -> Result<Vec<u8>, CallError> {
    assert!(client.is_server_connected());
    let pending = client.begin_request(request, PATIENCE)?;
    let answer = pending.wait(PATIENCE)?;
    assert_eq!(client.send_request(request, PATIENCE)?[..], answer[..]);
    Ok(answer.to_vec())
}

#[test]
fn an_immutable_server_answers_stops_and_is_started_again() {
    let (_dir, factory) = factory();
    let mut server = factory.create_immutable_server("channel", &config()).unwrap();
    assert!(!server.is_running());
    server.start(|request| Ok(request.to_ascii_uppercase()));
    assert!(server.is_running());
    let client = factory.create_client("channel").unwrap();
    assert_eq!(ask(&client, b"abc").unwrap(), b"ABC");
    server.stop().unwrap();
    server.stop().unwrap();
    assert!(!server.is_running());

    server.start(|request| match request.len() {
        0..10 => Ok(b"short".to_vec()),
        _ => Err(Failure::new(7, "too long")),
    });
    assert_eq!(ask(&client, b"abc").unwrap(), b"short");
    let refused = ask(&client, &[0; 10]).unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
    assert_eq!(server.stats().answers, 4);
}

#[test]
fn a_mutable_server_changes_requests_to_answers() {
    let (_dir, factory) = factory();
    let mut server = factory.create_mutable_server("channel", &config()).unwrap();
    server.start(|bytes| {
        bytes.reverse();
        Ok(())
    });
    let client = factory.create_client("channel").unwrap();
    assert_eq!(ask(&client, b"abc").unwrap(), b"cba");
    drop(server);
    assert!(!client.is_server_connected());
}

#[test]
fn a_handler_that_panics_fails_the_call_and_the_server_goes_on() {
    let (_dir, factory) = factory();
    let mut server = factory.create_immutable_server("channel", &config()).unwrap();
    server.start(|request| match &request[..] {
        b"bad" => panic!("cannot do that"),
        other => Ok(other.to_vec()),
    });
    let client = factory.create_client("channel").unwrap();
    let failed = client.send_request(b"bad", PATIENCE).unwrap_err();
    assert!(failed.to_string().contains("cannot do that"), "{failed}");
    assert_eq!(ask(&client, b"good").unwrap(), b"good");
    assert!(server.is_running());
}

#[test]
#[should_panic(expected = "a server is started once")]
fn a_running_server_is_not_started_again() {
    let (_dir, factory) = factory();
    let mut server = factory.create_immutable_server("channel", &config()).unwrap();
    server.start(|request| Ok(request.to_vec()));
    server.start(|request| Ok(request.to_vec()));
}
