//! A pseudo-terminal: what a program writes to its terminal, and what a person types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A terminal with one program on it.
pub struct Pty {
    master: File,
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    child: Child,
}

impl Pty {
    /// Starts `command` on a terminal of its own, as the leader of a session.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let path = name.to_str().expect("UTF-8");
        let slave = File::options()
            .read(true)
            .write(true)
            .open(path)
            .expect("its other side");
        resize(&master, rows, columns);
        let side = || OwnedFd::from(slave.try_clone().expect("a descriptor"));
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            session.env(name, value.expect("a value"));
        }
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        session.stdin(side()).stdout(side()).stderr(side());
        let child = session.spawn().expect("setsid");
        drop((session, slave));
        let master = File::from(master);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut source, sink) = (
            master.try_clone().expect("a descriptor"),
            Arc::clone(&written),
        );
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the last process on a terminal is an error (EIO).
            while let Ok(count @ 1..) = source.read(&mut piece) {
                sink.lock()
                    .expect("no panic")
                    .extend_from_slice(&piece[..count]);
            }
        });
        Self {
            master,
            written,
            reader: Some(reader),
            child,
        }
    }

    /// Types something.
    pub fn enter(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal");
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    /// What was written so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("no panic")).into_owned()
    }

    /// What a terminal of that size displays of it, line by line.
    pub fn display(&self, rows: u16, columns: u16) -> String {
        let size = |cells| NonZeroU16::new(cells).expect("a size");
        let mut terminal = vt100::Parser::new(size(rows), size(columns), 0);
        terminal.process(&self.written.lock().expect("no panic"));
        terminal.screen().contents()
    }

    /// Waits until a terminal of that size displays something.
    pub async fn displays(&self, wanted: &str, rows: u16, columns: u16) {
        let deadline = Instant::now() + PATIENCE;
        while !self.display(rows, columns).contains(wanted) {
            assert!(
                Instant::now() < deadline,
                "{wanted:?} is not displayed: {}",
                self.display(rows, columns)
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until something was written.
    pub async fn shows(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.screen().contains(wanted) {
            let now = Instant::now();
            assert!(
                now < deadline,
                "{wanted:?} was not shown: {:?}",
                self.screen()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The process on the terminal.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; everything that was written.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {:?}",
                self.screen()
            );
            tokio::time::sleep(PAUSE).await;
        };
        let reader = self.reader.take().expect("a reader");
        reader.join().expect("no panic");
        (status, self.screen())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a terminal");
}

/// Long after anything healthy would be done.
const PATIENCE: Duration = Duration::from_secs(50);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
