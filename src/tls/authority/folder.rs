//! A folder that only its owner can read or write, and its files.
//!
//! Every file is reached through the open folder and never through a link, checked after it was
//! opened, and on disk when a call returns. A lock on the folder keeps two starting programs apart.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

/// The CA's folder, open and locked.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// The folder or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error(
        "{path} is open to group or others (mode {mode:04o}): if nobody else can have read the CA key, run `chmod go= {path}`; else move the CA away to have a new one made",
        path = path.display()
    )]
    Loose {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a link, a device or something else that does not belong here.
    #[error("{path} is not a {expected} (a symbolic link is none): find out who put it there, and remove it", path = path.display())]
    WrongKind {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// It belongs to somebody else.
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

impl Folder {
    /// Opens the folder; makes it, for its owner only, when it is missing. Waits while another
    /// program has it open.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let io = |action| {
            move |error: io::Error| FolderError::Io {
                action,
                path: path.to_owned(),
                source: error,
            }
        };
        if path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(io("make"))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => FolderError::WrongKind {
                path: path.to_owned(),
                expected: FOLDER,
            },
            errno => io("open")(errno.into()),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io("examine")(errno.into()))?;
        check(&stat, FOLDER, rustix::process::geteuid().as_raw(), path)?;
        rustix::fs::flock(&fd, FlockOperation::LockExclusive)
            .map_err(|errno| io("lock")(errno.into()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// The path of a file in the folder.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The file's text; `None` when there is no such file. Text that is no UTF-8 comes damaged, and
    /// so is no PEM.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, FolderError> {
        // Without NONBLOCK, a planted FIFO would keep the program waiting for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(FolderError::WrongKind {
                    path: self.path(name),
                    expected: FILE,
                });
            }
            Err(errno) => return Err(self.io("open", name, errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.io("examine", name, errno))?;
        check(
            &stat,
            FILE,
            rustix::process::geteuid().as_raw(),
            &self.path(name),
        )?;
        let mut bytes = Vec::new();
        File::from(fd)
            .take(MAX_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| self.io("read", name, error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Makes a file for its owner only, where there is none.
    pub(super) fn create(&self, name: &str, text: &str) -> Result<(), FolderError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| self.io("make", name, errno))?;
        let mut file = File::from(fd);
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|error| self.io("write", name, error))
    }

    /// Gives a file another name, in place of the file that has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
            .map_err(|errno| self.io("rename", from, errno))?;
        self.sync()
    }

    /// Gives a file a second name, unless that name is taken.
    pub(super) fn link(&self, from: &str, to: &str) -> Result<(), FolderError> {
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => self.sync(),
            Err(errno) => Err(self.io("link", from, errno)),
        }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), FolderError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => self.sync(),
            Err(errno) => Err(self.io("remove", name, errno)),
        }
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> Result<Vec<OsString>, FolderError> {
        let failed = |errno: Errno| self.io("list", "", errno);
        let entries: Result<Vec<_>, _> = Dir::read_from(&self.fd).map_err(failed)?.collect();
        let names = entries
            .map_err(failed)?
            .into_iter()
            .map(|entry| entry.file_name().to_bytes().to_vec());
        Ok(names.map(OsString::from_vec).collect())
    }

    fn sync(&self) -> Result<(), FolderError> {
        rustix::fs::fsync(&self.fd).map_err(|errno| self.io("write", "", errno))
    }

    fn io(&self, action: &'static str, name: &str, error: impl Into<io::Error>) -> FolderError {
        FolderError::Io {
            action,
            path: self.path(name),
            source: error.into(),
        }
    }
}

const FILE: &str = "regular file";
const FOLDER: &str = "folder";

/// A key or certificate has under 2 KiB; the limit is for files that are neither.
const MAX_FILE: u64 = 64 * 1024;

/// Only `owner` may have any access: who can write a certificate chooses it, who can read the key
/// is the CA.
pub(super) fn check(
    stat: &Stat,
    expected: &'static str,
    owner: u32,
    path: &Path,
) -> Result<(), FolderError> {
    let path = path.to_owned();
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode);
    if kind
        != (if expected == FOLDER {
            FileType::Directory
        } else {
            FileType::RegularFile
        })
    {
        Err(FolderError::WrongKind { path, expected })
    } else if stat.st_uid != owner {
        Err(FolderError::WrongOwner {
            path,
            owner: stat.st_uid,
            expected: owner,
        })
    } else if mode.intersects(Mode::RWXG | Mode::RWXO) {
        Err(FolderError::Loose {
            path,
            mode: mode.bits(),
        })
    } else {
        Ok(())
    }
}
