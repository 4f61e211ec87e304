//! Sockets that the service manager has opened for us (systemd's socket activation).
//!
//! The environment's word enters, listeners by their purpose leave. A name decides: `connect` and
//! `redirect` are doors of the interception, everything else is the exporter's, which is what
//! systemd calls a socket after its unit.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;

use super::Error;

/// What was handed over. Nothing where nobody did.
#[derive(Debug, Default)]
pub struct Activation {
    pub(super) exporter: Vec<Handed>,
    pub(super) connect: Vec<TcpListener>,
    pub(super) redirect: Vec<TcpListener>,
}

/// A listener of the exporter.
#[derive(Debug)]
pub(super) enum Handed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Activation {
    /// Sockets for redirected connections that did not come from the service manager.
    ///
    /// # Errors
    /// [`Error::Handed`] when they cannot be set up for the runtime.
    pub(super) fn of_redirect(redirect: Vec<TcpListener>) -> Result<Self, Error> {
        for listener in &redirect {
            listener.set_nonblocking(true).map_err(Error::Handed)?;
        }
        Ok(Self {
            redirect,
            ..Self::default()
        })
    }

    /// A socket at which a CONNECT proxy shall listen, and that did not come from the service
    /// manager.
    ///
    /// # Errors
    /// [`Error::Handed`] when it cannot be set up for the runtime.
    pub(super) fn of_connect(connect: TcpListener) -> Result<Self, Error> {
        connect.set_nonblocking(true).map_err(Error::Handed)?;
        Ok(Self {
            connect: vec![connect],
            ..Self::default()
        })
    }

    /// The sockets of the traffic, those for redirected connections first, and how many those are.
    pub(super) fn traffic(&self) -> io::Result<(Vec<TcpListener>, usize)> {
        let all = self.redirect.iter().chain(&self.connect);
        let all = all.map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok((all, self.redirect.len()))
    }

    /// The same sockets once more; those of the exporter are not among them.
    pub(super) fn of_traffic_again(&self) -> io::Result<Self> {
        let again = |listeners: &[TcpListener]| {
            let again = listeners.iter().map(TcpListener::try_clone);
            again.collect::<io::Result<Vec<_>>>()
        };
        Ok(Self {
            exporter: Vec::new(),
            connect: again(&self.connect)?,
            redirect: again(&self.redirect)?,
        })
    }

    /// Takes the sockets that `LISTEN_FDS` speaks of, called by `names` in their order. To be asked
    /// once, before any thread is started: the variables are removed, so that no child takes them
    /// for its own.
    ///
    /// # Errors
    /// [`Error::Activation`] for what is no listening TCP or Unix socket, or stands under a name
    /// that it cannot have.
    pub fn take(names: &[String]) -> Result<Self, Error> {
        let mut sockets = ListenFd::from_env();
        let mut activation = Self::default();
        for number in 0..sockets.len() {
            let name = names.get(number).map_or("", String::as_str);
            let failed = |source| Error::Activation {
                number,
                name: name.to_owned(),
                source,
            };
            let handed = listener(&mut sockets, number).map_err(failed)?;
            match (name, handed) {
                ("connect", Handed::Tcp(listener)) => activation.connect.push(listener),
                ("redirect", Handed::Tcp(listener)) => activation.redirect.push(listener),
                ("connect" | "redirect", Handed::Unix(_)) => {
                    return Err(failed(io::Error::other("it must be TCP")));
                }
                (_, handed) => activation.exporter.push(handed),
            }
        }
        Ok(activation)
    }
}

fn listener(sockets: &mut ListenFd, number: usize) -> io::Result<Handed> {
    let nothing = || io::Error::other("there is no such socket");
    match sockets.take_tcp_listener(number) {
        Ok(listener) => listening(listener.ok_or_else(nothing)?).map(Handed::Tcp),
        Err(_) => {
            listening(sockets.take_unix_listener(number)?.ok_or_else(nothing)?).map(Handed::Unix)
        }
    }
}

/// With `Accept=yes` a connection is handed over instead.
pub(super) fn listening<S: AsFd>(socket: S) -> io::Result<S> {
    let reference = SockRef::from(&socket);
    if !reference.is_listener()? {
        return Err(io::Error::other("it does not listen (Accept=no is needed)"));
    }
    reference.set_nonblocking(true)?;
    Ok(socket)
}
