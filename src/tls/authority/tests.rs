use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::tls::x509::DAY;

const HOSTS: &[&str] = &["api.example.com", "*.example.net"];

fn patterns(texts: &[&str]) -> Vec<HostPattern> {
    texts
        .iter()
        .map(|text| HostPattern::parse(text).expect("pattern"))
        .collect()
}

fn open(directory: &Path, now: SystemTime) -> Result<(Authority, Origin), AuthorityError> {
    Authority::load_or_create(directory, &patterns(HOSTS), now)
}

/// A folder with a CA that was made just now.
fn made() -> (TempDir, std::path::PathBuf, Authority) {
    let temp = tempfile::tempdir().expect("temp");
    let folder = temp.path().join("state/ca");
    let (authority, origin) = open(&folder, SystemTime::now()).expect("made");
    assert_eq!(origin, Origin::Created);
    (temp, folder, authority)
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("metadata").mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn openssl_text(pem: &Path) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(pem)
        .output()
        .expect("openssl");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_new_ca_is_closed_to_others_under_any_umask() {
    // The umask belongs to the whole process, so the test runs again in one of its own.
    let name = "tls::authority::tests::a_new_ca_is_closed_to_others";
    let output = Command::new("sh")
        .args([
            "-c",
            "umask 000; exec \"$0\" --exact --include-ignored \"$1\"",
        ])
        .arg(std::env::current_exe().expect("this program"))
        .arg(name)
        .output()
        .expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_new_ca_is_closed_to_others() {
    let (_temp, folder, _) = made();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("ca-key.pem")), 0o600);
    assert_eq!(mode(&folder.join("ca.pem")), 0o600);
    assert_eq!(
        fs::read_dir(&folder).expect("folder").count(),
        2,
        "nothing else is left behind"
    );
}

#[test]
fn the_certificate_is_as_narrow_as_openssl_can_read_it() {
    let (_temp, folder, authority) = made();
    let text = openssl_text(&folder.join("ca.pem"));
    for expected in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
        "X509v3 Name Constraints: critical",
        "DNS:api.example.com",
        "DNS:example.net",
        "IP:0.0.0.0/0.0.0.0",
        "NIST CURVE: P-256",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let digits = authority.fingerprint_sha256();
    let openssl = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(folder.join("ca.pem"))
        .output()
        .expect("openssl");
    let openssl = String::from_utf8(openssl.stdout)
        .expect("text")
        .replace(':', "")
        .to_ascii_lowercase();
    assert!(openssl.contains(&digits), "{openssl} {digits}");
    let life = authority
        .not_after()
        .duration_since(SystemTime::now())
        .expect("future");
    assert!(life > DAY * 89 && life <= DAY * 90, "{life:?}");
}

#[test]
fn the_same_files_give_the_same_ca() {
    let (_temp, folder, first) = made();
    let (second, origin) = open(&folder, SystemTime::now()).expect("loaded");
    assert_eq!(origin, Origin::Loaded);
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    assert_eq!(
        first.subject_public_key_info(),
        second.subject_public_key_info()
    );
    assert_eq!(first.not_after(), second.not_after());
    assert_eq!(
        fs::read_to_string(folder.join("ca.pem")).expect("file"),
        first.certificate_pem()
    );
}

#[test]
fn two_cas_share_nothing() {
    let ((_a, _, first), (_b, _, second)) = (made(), made());
    assert_ne!(
        first.subject_public_key_info(),
        second.subject_public_key_info()
    );
    assert_ne!(first.fingerprint_sha256(), second.fingerprint_sha256());
}

#[test]
fn a_ca_is_renewed_when_it_no_longer_serves() {
    let now = SystemTime::now();
    let month = DAY * 30;
    for (then, hosts, expected) in [
        (now + DAY * 59, HOSTS, Origin::Loaded),
        (
            now + DAY * 61,
            HOSTS,
            Origin::Renewed(RenewReason::ExpiresSoon),
        ),
        (
            now + month * 4,
            HOSTS,
            Origin::Renewed(RenewReason::Expired),
        ),
        (
            now - month,
            HOSTS,
            Origin::Renewed(RenewReason::NotYetValid),
        ),
        (UNIX_EPOCH, HOSTS, Origin::Renewed(RenewReason::NotYetValid)),
        (now, &["*.example.net", "api.example.com"], Origin::Loaded),
        (
            now,
            &["api.example.com"],
            Origin::Renewed(RenewReason::Constraints),
        ),
        (
            now,
            &["api.example.com", "*.example.net", "c.example"],
            Origin::Renewed(RenewReason::Constraints),
        ),
        (now, &[], Origin::Renewed(RenewReason::Constraints)),
    ] {
        let (_temp, folder, old) = made();
        let old_key = fs::read_to_string(folder.join("ca-key.pem")).expect("key");
        let (new, origin) =
            Authority::load_or_create(&folder, &patterns(hosts), then).expect("renewed");
        assert_eq!(origin, expected, "{hosts:?}");
        let (_, again) =
            Authority::load_or_create(&folder, &patterns(hosts), then).expect("loaded");
        assert_eq!(again, Origin::Loaded, "a renewed CA serves");
        if origin == Origin::Loaded {
            continue;
        }
        let retired: Vec<_> = fs::read_dir(&folder)
            .expect("folder")
            .map(|entry| entry.expect("entry").path())
            .filter(|path| path.to_string_lossy().ends_with(".retired.pem"))
            .collect();
        let [retired] = &retired[..] else {
            panic!("{retired:?}")
        };
        assert_eq!(
            fs::read_to_string(retired).expect("retired"),
            old.certificate_pem()
        );
        assert_ne!(
            fs::read_to_string(folder.join("ca-key.pem")).expect("key"),
            old_key
        );
        assert_ne!(new.subject_public_key_info(), old.subject_public_key_info());
        for certificate in [&old.certificate, &new.certificate] {
            assert!(new.own().has_key_of(certificate), "own, now or once");
        }
        assert!(!old.own().has_key_of(&new.certificate));
    }
}

#[test]
fn without_permitted_hosts_the_ca_can_sign_for_none() {
    let temp = tempfile::tempdir().expect("temp");
    let folder = temp.path().join("ca");
    Authority::load_or_create(&folder, &[], SystemTime::now()).expect("made");
    assert!(
        openssl_text(&folder.join("ca.pem"))
            .contains("Permitted:\n                  DNS:invalid\n")
    );
}

/// Everything that can be wrong with the files: each is refused by name, and nothing is changed.
#[test]
fn files_that_are_not_safe_are_refused_and_left_alone() {
    type Spoil = fn(&Path);
    let table: &[(&str, Spoil, &str, &str)] = &[
        (
            "key open to others",
            |f| chmod(&f.join("ca-key.pem"), 0o644),
            "ca-key.pem",
            "chmod",
        ),
        (
            "key open to the group",
            |f| chmod(&f.join("ca-key.pem"), 0o640),
            "ca-key.pem",
            "mode 0640",
        ),
        (
            "certificate writable",
            |f| chmod(&f.join("ca.pem"), 0o602),
            "ca.pem",
            "chmod",
        ),
        ("folder open", |f| chmod(f, 0o750), "ca", "mode 0750"),
        (
            "key is a link",
            |f| relink(&f.join("ca-key.pem")),
            "ca-key.pem",
            "symbolic link",
        ),
        (
            "certificate is a link",
            |f| relink(&f.join("ca.pem")),
            "ca.pem",
            "symbolic link",
        ),
        (
            "dangling link",
            |f| dangle(&f.join("ca-key.pem")),
            "ca-key.pem",
            "symbolic link",
        ),
        ("folder is a link", relink, "ca", "symbolic link"),
        (
            "key is a folder",
            |f| refolder(&f.join("ca-key.pem")),
            "ca-key.pem",
            "regular file",
        ),
        (
            "key is a FIFO",
            |f| refifo(&f.join("ca-key.pem")),
            "ca-key.pem",
            "regular file",
        ),
        (
            "key missing",
            |f| fs::remove_file(f.join("ca-key.pem")).expect("rm"),
            "ca-key.pem",
            "restore",
        ),
        (
            "certificate missing",
            |f| fs::remove_file(f.join("ca.pem")).expect("rm"),
            "ca.pem",
            "restore",
        ),
        (
            "key empty",
            |f| fs::write(f.join("ca-key.pem"), "").expect("w"),
            "ca-key.pem",
            "private key",
        ),
        (
            "certificate empty",
            |f| fs::write(f.join("ca.pem"), "").expect("w"),
            "ca.pem",
            "certificate",
        ),
        (
            "key no PEM",
            |f| fs::write(f.join("ca-key.pem"), b"\xff\x00").expect("w"),
            "ca-key.pem",
            "private key",
        ),
        (
            "certificate no PEM",
            |f| fs::write(f.join("ca.pem"), "hello").expect("w"),
            "ca.pem",
            "certificate",
        ),
        (
            "key and certificate swapped",
            swap,
            "ca-key.pem",
            "private key",
        ),
        (
            "another P-256 key",
            |f| rekey(f, "EC", "ec_paramgen_curve:P-256"),
            "",
            "does not belong",
        ),
        (
            "an RSA key",
            |f| rekey(f, "RSA", "rsa_keygen_bits:2048"),
            "",
            "does not belong",
        ),
    ];
    for (what, spoil, name, remedy) in table {
        let (_temp, folder, _) = made();
        spoil(&folder);
        let before = snapshot(&folder);
        let error = open(&folder, SystemTime::now())
            .expect_err(what)
            .to_string();
        let path = if *name == "ca" {
            folder.clone()
        } else {
            folder.join(name)
        };
        let named = error.contains(path.to_str().expect("path")) || error.contains(name);
        assert!(named && error.contains(remedy), "{what}: {error}");
        assert_eq!(snapshot(&folder), before, "{what}: nothing is changed");
    }
}

#[test]
fn files_of_another_owner_are_refused() {
    let (_temp, folder, _) = made();
    let path = folder.join("ca-key.pem");
    let stat = rustix::fs::stat(&path).expect("stat");
    let check = |owner| folder::check(&stat, "regular file", owner, &path);
    assert!(check(stat.st_uid).is_ok());
    let error = check(stat.st_uid + 1).expect_err("another owner");
    assert!(matches!(error, FolderError::WrongOwner { .. }), "{error}");
}

#[test]
fn a_plain_file_in_place_of_the_folder_is_refused() {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("ca");
    fs::write(&path, "mine").expect("write");
    let error = open(&path, SystemTime::now()).expect_err("no folder");
    assert!(
        matches!(error, AuthorityError::Folder(FolderError::WrongKind { .. })),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).expect("file"), "mine");
}

/// The states between two steps of a replacement, as a killed program leaves them.
#[test]
fn a_replacement_that_was_cut_off_is_undone_or_finished() {
    let (_temp, folder, old) = made();
    let (_temp2, other, new) = made();
    let put = |from: &str, to: &str| {
        fs::copy(other.join(from), folder.join(to)).expect("copy");
        chmod(&folder.join(to), 0o600);
    };
    let expect = |expected: &Authority| {
        let (authority, origin) = open(&folder, SystemTime::now()).expect("settled");
        assert_eq!(
            (origin, authority.certificate_pem()),
            (Origin::Loaded, expected.certificate_pem())
        );
        assert_eq!(
            fs::read_dir(&folder).expect("folder").count(),
            2,
            "no litter"
        );
    };
    fs::write(folder.join("ca.pem.next"), "-----BEGIN CERT").expect("write");
    chmod(&folder.join("ca.pem.next"), 0o600);
    expect(&old);
    put("ca.pem", "ca.pem.next");
    put("ca-key.pem", "ca-key.pem.next");
    expect(&old);
    put("ca.pem", "ca.pem.next");
    put("ca-key.pem", "ca-key.pem");
    expect(&new);
}

#[test]
fn a_first_start_that_was_cut_off_is_finished_or_begun_again() {
    let (_temp, folder, first) = made();
    fs::rename(folder.join("ca.pem"), folder.join("ca.pem.next")).expect("rename");
    let (authority, origin) = open(&folder, SystemTime::now()).expect("finished");
    assert_eq!(
        (origin, authority.certificate_pem()),
        (Origin::Loaded, first.certificate_pem())
    );
    fs::rename(folder.join("ca.pem"), folder.join("ca.pem.next")).expect("rename");
    fs::rename(folder.join("ca-key.pem"), folder.join("ca-key.pem.next")).expect("rename");
    let (_, origin) = open(&folder, SystemTime::now()).expect("begun again");
    assert_eq!(origin, Origin::Created);
}

#[test]
fn starts_at_the_same_time_agree_on_one_ca() {
    let temp = tempfile::tempdir().expect("temp");
    let folder = temp.path().join("ca");
    let pems: Vec<String> = std::thread::scope(|scope| {
        let start = || {
            open(&folder, SystemTime::now())
                .expect("a CA")
                .0
                .certificate_pem()
                .to_owned()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("thread"))
            .collect()
    });
    assert!(pems.iter().all(|pem| *pem == pems[0]));
}

#[test]
fn debug_output_holds_no_key() {
    let (_temp, folder, authority) = made();
    let key = fs::read_to_string(folder.join("ca-key.pem")).expect("key");
    let line = key.lines().nth(1).expect("a line of base64");
    let shown = format!("{authority:?}");
    assert!(
        shown.contains(&authority.fingerprint_sha256()) && !shown.contains(line),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(crate::seeds::cases(64))]

    #[test]
    fn any_clock_gives_a_certificate(seconds in 0_u64..8_000_000_000_000) {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        let key = KeyPair::generate().expect("key");
        let certificate = profile::params(&patterns(HOSTS), now).self_signed(&key).expect("certificate");
        let range = profile::validity(certificate.der()).expect("validity");
        prop_assert!(range.start <= range.end);
    }
}

fn relink(path: &Path) {
    let target = path.with_extension("real");
    fs::rename(path, &target).expect("rename");
    symlink(&target, path).expect("symlink");
}

fn dangle(path: &Path) {
    fs::remove_file(path).expect("rm");
    symlink(path.with_extension("nowhere"), path).expect("symlink");
}

fn refolder(path: &Path) {
    fs::remove_file(path).expect("rm");
    fs::create_dir(path).expect("mkdir");
    chmod(path, 0o700);
}

fn refifo(path: &Path) {
    fs::remove_file(path).expect("rm");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("mkfifo");
}

fn swap(folder: &Path) {
    let (key, certificate) = (folder.join("ca-key.pem"), folder.join("ca.pem"));
    let text = fs::read(&key).expect("key");
    fs::copy(&certificate, &key).expect("copy");
    fs::write(&certificate, text).expect("write");
}

fn rekey(folder: &Path, algorithm: &str, option: &str) {
    let output = Command::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            algorithm,
            "-pkeyopt",
            option,
        ])
        .output()
        .expect("openssl");
    assert!(output.status.success());
    fs::write(folder.join("ca-key.pem"), output.stdout).expect("write");
}

/// Names, modes and contents below a folder, links not followed.
fn snapshot(folder: &Path) -> Vec<(std::path::PathBuf, u32, Option<Vec<u8>>)> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .map(|path| {
            (
                path.clone(),
                mode(&path),
                path.symlink_metadata()
                    .expect("m")
                    .is_file()
                    .then(|| fs::read(&path).expect("read")),
            )
        })
        .collect();
    entries.sort();
    entries
}
