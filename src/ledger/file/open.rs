//! The file itself: opened for its owner only, by one writer at a time, never through a link.
//!
//! A file that is damaged is moved aside under a name that nothing else has, and a new one is
//! begun. A file of a newer version, of another program or of another user is left as it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};
use rustix::io::Errno;

use super::schema::{MIGRATIONS, migrate, version};

/// Why the file cannot be used. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(in crate::ledger) enum OpenError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}; set ledger.path to a place that can be written", path = path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{path} is in use: another gravimeter keeps its ledger there; end it, or give this one a ledger.path of its own", path = path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read or write it.
    #[error("{path} is open to group or others (mode {mode:04o}): if that is not wanted, run `chmod go= {path}`", path = path.display())]
    Loose {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It was written by a later version of this program.
    #[error(
        "it has version {version}, and this gravimeter knows {newest} at most: start the newer gravimeter again, or move the file away to begin a new one"
    )]
    Newer {
        /// Its version.
        version: i64,
        /// The newest that is known.
        newest: i64,
    },
    /// It is a database, but not a ledger.
    #[error("it is a database of another program: set ledger.path to another place")]
    NotOurs,
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It is a link, a device or something else that does not belong here.
    #[error("{path} is not a regular file (a symbolic link is none): find out who put it there, and remove it", path = path.display())]
    WrongKind {
        /// Which file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("{path} belongs to uid {owner}, but this program runs as uid {expected}: run it as its owner, or `chown` the file", path = path.display())]
    WrongOwner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
}

impl OpenError {
    /// Whether the file is damaged, so that no later try can succeed.
    pub(super) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_corrupt(error))
    }

    /// Whether the connection is as good as before: a full disk and a lock leave it as it is, after
    /// anything else a new one is tried.
    pub(super) fn keeps_connection(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        )
    }

    /// Whether what was to be written is at fault, so that no later try can succeed: a constraint
    /// or type of the file forbids it, or a row of the file that belongs to it cannot be read. A
    /// full disk, a lock, a failing device or a missing table are not.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        error.sqlite_error_code().is_none_or(|code| {
            matches!(
                code,
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
            )
        })
    }
}

/// Whether SQLite says that the file is damaged, or no database at all.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// The place of the file, for this process alone while the value lives.
#[derive(Debug)]
pub(in crate::ledger) struct Place {
    path: PathBuf,
    /// Beside the file, and not on it: closing any descriptor of the file would let go SQLite's own
    /// locks.
    _lock: File,
}

/// Which file a name led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Identity {
    device: u64,
    inode: u64,
}

impl Place {
    /// Takes the place. Waits for another process to let it go, at most `limit`.
    pub(in crate::ledger) fn take(path: &Path, limit: Duration) -> Result<Self, OpenError> {
        let path = resolved(path)?;
        let lock_path = with_suffix(&path, ".lock");
        let lock = open_own(&lock_path)?;
        let deadline = Instant::now() + limit;
        while let Err(errno) = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if errno != Errno::WOULDBLOCK {
                return Err(OpenError::Io {
                    action: "lock",
                    path: lock_path,
                    source: errno.into(),
                });
            }
            if Instant::now() >= deadline {
                return Err(OpenError::Locked { path });
            }
            sleep(LOCK_PAUSE);
        }
        Ok(Self { path, _lock: lock })
    }

    pub(in crate::ledger) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for writing, brings it to the newest version, and begins one where there is
    /// none.
    pub(in crate::ledger) fn open(&self) -> Result<(Connection, Identity), OpenError> {
        // Made here and not by SQLite, so that no moment exists at which others may read it.
        drop(open_own(&self.path)?);
        let mut connection = Connection::open_with_flags(&self.path, WRITER)?;
        connection.busy_timeout(BUSY_LIMIT)?;
        // Before anything is set: another program's file stays as it is.
        version(&connection, MIGRATIONS)?;
        set_up(&connection)?;
        migrate(&mut connection, MIGRATIONS)?;
        let identity = self.identity().ok_or_else(|| OpenError::Io {
            action: "find",
            path: self.path.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        Ok((connection, identity))
    }

    /// Which file stands at the place now; `None` where there is none.
    pub(in crate::ledger) fn identity(&self) -> Option<Identity> {
        let file = self.path.symlink_metadata().ok()?;
        Some(Identity {
            device: file.dev(),
            inode: file.ino(),
        })
    }

    /// Moves a damaged file aside, with what belongs to it; returns its new name. Nothing is ever
    /// overwritten.
    pub(super) fn move_aside(&self, now: Timestamp) -> Result<PathBuf, OpenError> {
        let stem = format!(".corrupt-{}", now.strftime("%Y%m%dT%H%M%SZ"));
        for attempt in 0..MAX_NAMES {
            let suffix = if attempt == 0 {
                stem.clone()
            } else {
                format!("{stem}-{attempt}")
            };
            let aside = with_suffix(&self.path, &suffix);
            match rustix::fs::renameat_with(CWD, &self.path, CWD, &aside, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    // What was not yet copied into the file may be what can be saved of it. The
                    // index of it is of no use.
                    let _ = std::fs::rename(
                        with_suffix(&self.path, "-wal"),
                        with_suffix(&aside, "-wal"),
                    );
                    let _ = std::fs::remove_file(with_suffix(&self.path, "-shm"));
                    return Ok(aside);
                }
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(OpenError::Io {
                        action: "move aside",
                        path: self.path.clone(),
                        source: errno.into(),
                    });
                }
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(OpenError::Io {
            action: "move aside",
            path: self.path.clone(),
            source,
        })
    }
}

/// Opens a file for reading only, while it may be written.
pub(in crate::ledger) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, READER)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens a database that ends with the process.
pub(in crate::ledger) fn open_in_memory() -> Result<Connection, OpenError> {
    let mut connection = Connection::open_in_memory()?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // Must come before the first table: what retention removes is given back to the file system.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Readers do not wait for the writer, nor the writer for them.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit is on the disk before it is reported: ten a second at the most, and only the
    // writer waits.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// The path with links in its folders resolved: SQLite is opened so that it follows none. The file itself may
/// not be one.
pub(in crate::ledger) fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::Io {
        action: "find the folder of",
        path: path.to_owned(),
        source,
    };
    let folder = path
        .parent()
        .unwrap_or(Path::new("/"))
        .canonicalize()
        .map_err(failed)?;
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    Ok(folder.join(name))
}

/// Opens a file that is ours alone; makes it where there is none.
pub(in crate::ledger) fn open_own(path: &Path) -> Result<File, OpenError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path);
    let path = path.to_owned();
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let is_there = path.symlink_metadata().is_ok_and(|found| !found.is_file());
            if is_there {
                return Err(OpenError::WrongKind { path });
            }
            return Err(OpenError::Io {
                action: "open",
                path,
                source: error,
            });
        }
    };
    let found = file.metadata().map_err(|source| OpenError::Io {
        action: "examine",
        path: path.clone(),
        source,
    })?;
    let expected = rustix::process::geteuid().as_raw();
    if !found.is_file() {
        Err(OpenError::WrongKind { path })
    } else if found.uid() != expected {
        Err(OpenError::WrongOwner {
            path,
            owner: found.uid(),
            expected,
        })
    } else if found.mode() & 0o077 != 0 {
        Err(OpenError::Loose {
            path,
            mode: found.mode() & 0o7777,
        })
    } else {
        Ok(file)
    }
}

pub(in crate::ledger) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The connection stays in one thread or behind a lock of ours.
const WRITER: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// A file that does not exist is not created.
pub(in crate::ledger) const READER: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// A process that was killed lets go of its files within milliseconds.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How long a person or program that writes into the file is waited for; after that the batch is
/// tried again later.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// What is left of the write-ahead log after a checkpoint: it grows with a reader that takes its
/// time.
const WAL_LIMIT: u32 = 16 << 20;

/// All statements of the writer stay prepared.
const STATEMENTS: usize = 32;

/// Names that are tried for a damaged file: so many in one second are no accident.
const MAX_NAMES: u32 = 100;
