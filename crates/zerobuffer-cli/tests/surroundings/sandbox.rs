//! Sandboxes and kernels that lack what buffers are made with: another way is taken, or it is said what is missing.

use std::os::fd::AsFd as _;

use crate::common::SMALL;
use crate::ground::{Ground, Needs, STRACE, UNSHARE, failing, finding, says, words};

const WRITE: [&str; 8] = ["write", "cam", "--create", "--keep", "-n", "3", "--buffer-size", SMALL];
const READ: [&str; 6] = ["read", "cam", "-n", "3", "--verify", "sequential"];

fn in_memory() -> Ground {
    Ground::mounted("tmpfs", "size=64M")
}

/// Frames pass where a system call fails, and nothing but the buffer was left meanwhile.
fn passes(ground: &Ground, wrapper: &[&str]) {
    ground.run_in(wrapper, &WRITE).expect_code(0);
    assert_eq!(ground.files(), ["cam.zb2"], "with {wrapper:?}");
    ground.run_in(wrapper, &READ).expect_code(0);
    assert_eq!(ground.files(), [""; 0], "with {wrapper:?}");
}

#[test]
fn where_files_without_a_name_get_none_provisional_names_are_used() {
    if !Needs::all(&[Needs::Root, STRACE]) {
        return;
    }
    let ground = in_memory();
    for error in ["EACCES", "ENOENT", "EPERM", "ENOSYS"] {
        passes(&ground, &words(&failing("linkat", error)));
    }
    // Nor without replacing, as on file systems that have no such `renameat2`.
    let mut both = failing("linkat", "EACCES");
    both.extend(["-e".to_owned(), "inject=renameat2:error=EINVAL".to_owned()]);
    passes(&ground, &words(&both));
    passes(&ground, &words(&failing("renameat2", "ENOSYS")));
}

#[test]
fn doctor_tries_to_name_a_file_that_has_no_name() {
    if !Needs::all(&[Needs::Root, STRACE]) {
        return;
    }
    let ground = in_memory();
    let doctor = |failing: &[String]| ground.run_in(&words(failing), &["doctor", "--json"]);
    let (verdict, found) = finding(&doctor(&failing("linkat", "EACCES")), "O_TMPFILE");
    assert!(verdict == "warning" && found.contains("provisional name"), "{verdict}: {found}");
    let (verdict, found) =
        finding(&doctor(&failing("linkat,renameat2,link,rename", "EACCES")), "O_TMPFILE");
    assert!(verdict == "bad" && found.contains("renameat2 or link"), "{verdict}: {found}");
    assert_eq!(finding(&ground.run(&["doctor", "--json"]), "O_TMPFILE").0, "good");
    assert_eq!(ground.files(), [""; 0], "a trial leaves nothing");
}

#[test]
fn what_a_killed_creator_left_is_removed_and_what_is_being_made_is_not() {
    if !Needs::all(&[Needs::Root, STRACE]) {
        return;
    }
    let ground = in_memory();
    let name = |number: u32| format!(".zerobuffer-{number:016x}.new");
    let [left, held, other] = [name(1), name(2), ".zerobuffer-of-somebody.new".to_owned()];
    for name in [&left, &held, &other] {
        std::fs::write(ground.path().join(name), [0; 100]).expect("a file");
    }
    let file = std::fs::File::open(ground.path().join(&held)).expect("it is ours");
    lock_shared(&file);
    ground.run_in(&words(&failing("linkat", "EACCES")), &WRITE).expect_code(0);
    let mut files = ground.files();
    files.sort();
    assert_eq!(files, [held, other, "cam.zb2".to_owned()]);
    let (verdict, found) = finding(&ground.run(&["doctor", "--json"]), "leftovers");
    assert!(verdict == "warning" && found.contains("cam"), "{found}");
}

/// Holds the byte by which a creator shows that it lives.
fn lock_shared(file: &std::fs::File) {
    let script = "import fcntl,struct,sys; fcntl.fcntl(0, 37, struct.pack('hhqqi', 0, 0, 0, 1, 0))";
    // An open-file-description lock belongs to the description, which the child shares.
    let fd = file.as_fd().try_clone_to_owned().expect("a descriptor");
    let status = std::process::Command::new("python3").args(["-c", script]).stdin(fd).status();
    assert!(status.expect("python3 is there").success());
}

#[test]
fn without_proc_buffers_work_and_claim_no_ages() {
    if !Needs::all(&[Needs::Root, UNSHARE]) {
        return;
    }
    let ground = in_memory();
    let bare = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];
    passes(&ground, &bare);
    // The writer knows how its clock relates to others; the reader does not. And the other way round.
    for (writer, reader) in [(&[][..], &bare[..]), (&bare, &[])] {
        ground.run_in(writer, &[&WRITE, &["--timestamps"][..]].concat()).expect_code(0);
        let ended = ground.run_in(reader, &[&READ, &["--json-output"][..]].concat()).expect_code(0);
        let report = ended.json();
        assert_eq!(report.get("latency_us"), Some(&serde_json::Value::Null), "{report:#}");
        assert!(report["latency_unknown"].as_str().is_some_and(|why| why.contains("/proc")));
    }
    let ended = ground.run_in(&bare, &["doctor", "--json"]);
    let (verdict, found) = finding(&ended, "/proc");
    assert!(verdict == "warning" && found.contains("not mounted"), "{verdict}: {found}");
}

#[test]
fn without_fallocate_zeros_are_written() {
    if !Needs::all(&[Needs::Root, STRACE]) {
        return;
    }
    let ground = in_memory();
    for error in ["EOPNOTSUPP", "ENOSYS"] {
        let failing = failing("fallocate", error);
        passes(&ground, &words(&failing));
        let (verdict, found) =
            finding(&ground.run_in(&words(&failing), &["doctor", "--json"]), "fallocate");
        assert!(verdict == "warning" && found.contains("zeros"), "{verdict}: {found}");
    }
}

#[test]
fn on_a_file_system_without_fallocate_all_space_is_taken_beforehand() {
    if !Needs::all(&[Needs::Root, Needs::Program(&["mkfs.ext2", "-V"])]) {
        return;
    }
    let ground = Ground::image(&["mkfs.ext2", "-q"], 16);
    passes(&ground, &[]);
    ground.run(&WRITE).expect_code(0);
    let facts = std::fs::metadata(ground.path().join("cam.zb2")).expect("the buffer");
    use std::os::unix::fs::MetadataExt as _;
    assert!(facts.blocks() * 512 >= facts.len(), "{} of {}", facts.blocks() * 512, facts.len());
    ground.run(&["rm", "cam"]).expect_code(0);
    let large = ["write", "cam", "--create", "-n", "1", "--buffer-size", "32M"];
    says(&ground.run(&large).expect_code(1), &["`cam` needs", "smaller payload"]);
    assert_eq!(ground.files(), [""; 0]);
}

#[test]
fn without_file_locks_the_refusal_names_them() {
    if !Needs::all(&[Needs::Root, STRACE]) {
        return;
    }
    let ground = in_memory();
    let failing = failing("fcntl", "EINVAL");
    let ended = ground.run_in(&words(&failing), &WRITE).expect_code(1);
    says(&ended, &["`cam`", "open-file-description locks", "F_OFD_SETLK", "doctor"]);
    assert_eq!(ground.files(), [""; 0]);
    let ended = ground.run_in(&words(&failing), &["doctor", "--json"]).expect_code(1);
    assert_eq!(finding(&ended, "OFD locks").0, "bad");
}
