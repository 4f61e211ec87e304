use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use super::*;
use crate::record::HostPattern;

fn authority() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().expect("temp");
    let permitted = [HostPattern::parse("api.example.com").expect("pattern")];
    let (authority, _) =
        Authority::load_or_create(&folder.path().join("ca"), &permitted, SystemTime::now())
            .expect("CA");
    (folder, authority)
}

fn extra_root(folder: &Path) -> (PathBuf, CertificateDer<'static>) {
    let root = rcgen::generate_simple_self_signed(["extra.example".to_owned()])
        .expect("root")
        .cert;
    let path = folder.join("extra.pem");
    fs::write(&path, root.pem()).expect("write");
    (path, root.der().clone())
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .expect("file")
        .collect::<Result<_, _>>()
        .expect("PEM")
}

#[test]
fn the_bundle_holds_all_roots_and_the_ca() {
    let (temp, authority) = authority();
    let path = temp.path().join("agent/bundle.pem");
    let (extra, root) = extra_root(temp.path());
    let bundle = write(&path, &authority, &[extra.clone(), extra]).expect("written");
    let own = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).expect("CA");
    let all = certificates(&bundle.all);
    let system = rustls_native_certs::load_native_certs().certs;
    assert!(!system.is_empty() && system.iter().all(|root| all.contains(root)));
    assert_eq!(
        all.iter().filter(|each| **each == root).count(),
        1,
        "each root once"
    );
    assert_eq!(all.last(), Some(&own));
    assert_eq!(all.len(), bundle.roots + 1);
    assert_eq!(certificates(&bundle.ca_only), [own]);
    assert_eq!(bundle.ca_only, temp.path().join("agent/bundle.ca.pem"));
    for file in [&bundle.all, &bundle.ca_only] {
        assert_eq!(file.metadata().expect("file").mode() & 0o7777, 0o644);
    }
    assert_eq!(
        fs::read_dir(path.parent().expect("folder"))
            .expect("folder")
            .count(),
        2,
        "no temporary files"
    );
}

#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let (temp, authority) = authority();
    let path = temp.path().join("bundle.pem");
    fs::write(&path, "old").expect("write");
    let missing = temp.path().join("missing.pem");
    let error =
        write(&path, &authority, std::slice::from_ref(&missing)).expect_err("a missing root");
    assert!(
        error.to_string().contains(missing.to_str().expect("path")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).expect("file"), "old");
    // Killed after half of the temporary file: the next write does not stumble over it.
    fs::write(
        temp.path().join("bundle.pem.0000000000000000.tmp"),
        "-----BEGIN",
    )
    .expect("write");
    write(&path, &authority, &[]).expect("written");
    assert!(certificates(&path).len() > 1);
}

#[test]
fn only_what_is_not_right_is_written() {
    let (temp, authority) = authority();
    let path = temp.path().join("bundle.pem");
    let write = || write(&path, &authority, &[]).expect("written");
    let bundle = write();
    let files =
        || [&bundle.all, &bundle.ca_only].map(|file| file.symlink_metadata().expect("file").ino());
    let first = files();
    write();
    assert_eq!(files(), first, "the same files, not the same text again");
    #[expect(clippy::type_complexity, reason = "a table of a test")]
    let spoils: [(&str, &dyn Fn(&Path)); 5] = [
        ("other text", &|file| fs::write(file, "old").expect("ours")),
        ("more text", &|file| {
            fs::write(file, fs::read_to_string(file).expect("text") + "\n").expect("ours")
        }),
        ("no text", &|file| fs::write(file, "").expect("ours")),
        ("writable", &|file| {
            fs::set_permissions(file, Permissions::from_mode(0o666)).expect("ours")
        }),
        ("a link", &|file| {
            let moved = file.with_extension("moved");
            fs::rename(file, &moved).expect("ours");
            symlink(moved, file).expect("ours");
        }),
    ];
    for (name, spoil) in spoils {
        for (file, text) in [
            (&bundle.all, fs::read(&bundle.all)),
            (&bundle.ca_only, fs::read(&bundle.ca_only)),
        ] {
            spoil(file);
            write();
            let found = file.symlink_metadata().expect("file");
            assert!(found.is_file() && found.mode() & 0o7777 == 0o644, "{name}");
            assert_eq!(fs::read(file).expect("file"), text.expect("file"), "{name}");
        }
    }
}

#[test]
fn a_planted_link_is_replaced_and_its_target_left_alone() {
    let (temp, authority) = authority();
    let (path, target) = (temp.path().join("bundle.pem"), temp.path().join("target"));
    fs::write(&target, "precious").expect("write");
    symlink(&target, &path).expect("symlink");
    write(&path, &authority, &[]).expect("written");
    assert!(path.symlink_metadata().expect("file").is_file());
    assert_eq!(fs::read_to_string(&target).expect("target"), "precious");
}

#[test]
fn folders_and_paths_that_cannot_serve_are_refused() {
    let (temp, authority) = authority();
    let open = temp.path().join("open");
    fs::create_dir(&open).expect("mkdir");
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).expect("chmod");
    let error = write(&open.join("bundle.pem"), &authority, &[]).expect_err("open folder");
    assert!(matches!(error, BundleError::OpenFolder { .. }), "{error}");
    assert_eq!(fs::read_dir(&open).expect("folder").count(), 0);
    let error = write(Path::new("bundle.pem"), &authority, &[]).expect_err("relative");
    assert!(matches!(error, BundleError::Path { .. }), "{error}");
}

#[test]
fn roots_files_must_hold_roots_and_never_the_own_ca() {
    let (temp, authority) = authority();
    let file = |name: &str, text: &str| {
        let path = temp.path().join(name);
        fs::write(&path, text).expect("write");
        path
    };
    for (path, expected) in [
        (file("empty.pem", ""), "no usable PEM"),
        (file("text.pem", "hello"), "no usable PEM"),
        (
            file(
                "broken.pem",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            "no usable PEM",
        ),
        (temp.path().join("ca/ca.pem"), "this program's own CA"),
        (temp.path().join("nowhere.pem"), "cannot read"),
    ] {
        let error = write(
            &temp.path().join("bundle.pem"),
            &authority,
            std::slice::from_ref(&path),
        )
        .expect_err(expected);
        let text = error.to_string();
        assert!(
            text.contains(expected) && text.contains(path.to_str().expect("path")),
            "{text}"
        );
    }
}

#[test]
fn clients_that_add_get_the_ca_and_clients_that_replace_get_all() {
    let bundle = Bundle {
        all: "/x/all.pem".into(),
        ca_only: "/x/ca.pem".into(),
        roots: 1,
    };
    let environment: BTreeMap<_, _> = environment(&bundle).into_iter().collect();
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        assert_eq!(environment[name], "/x/all.pem", "{name}");
    }
    for name in ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] {
        assert_eq!(environment[name], "/x/ca.pem", "{name}");
    }
}
