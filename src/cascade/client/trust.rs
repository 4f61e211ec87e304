//! Trust on first use for the language server's certificate: the first certificate is pinned and no
//! other is accepted after that.
//!
//! Used for the loopback ports of one language server only.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::ServerCertVerified;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::proof::{Judge, Presented, Proven};

/// Accepts and pins the certificate of one language server.
///
/// The language server's certificate is self-signed, for `localhost`; no root vouches for it and
/// none could: any process that may listen on this machine's loopback can make one that is as good.
/// What protects the agent's RPC is that a loopback port belongs to the process that opened it, and
/// the token. A certificate can add one thing: the first one is kept for as long as the client
/// lives, and a port that shows another one later has changed hands. The peer must prove in each
/// handshake that it holds the certificate's key, by the same algorithms as anywhere else.
///
/// Nothing outside this folder can create one, and it refuses every peer that is not a loopback
/// address: the verification of providers ([`crate::tls::upstream`]) can never use it.
#[derive(Debug, Default)]
pub(super) struct Pin {
    /// Nothing is pinned before the first handshake has ended.
    certificate: OnceLock<CertificateDer<'static>>,
}

impl Pin {
    /// Pins the certificate of a finished handshake if it is the first one, and returns whether it
    /// is the pinned one. Not before the end of the handshake: until then the peer has not proved
    /// that the certificate is its own.
    fn admit(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificate
            .get_or_init(|| certificate.clone().into_owned())
            == certificate
    }

    fn refuses(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificate
            .get()
            .is_some_and(|pinned| pinned != certificate)
    }
}

impl Judge for Pin {
    fn judge(&self, presented: Presented<'_>) -> Result<ServerCertVerified, Error> {
        if !is_loopback(presented.name) {
            return Err(CertificateError::NotValidForName.into());
        }
        match self.refuses(presented.end_entity) {
            true => Err(other_certificate()),
            false => Ok(ServerCertVerified::assertion()),
        }
    }
}

/// TLS with one language server.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pin: Arc<Proven<Pin>>,
    config: Arc<ClientConfig>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not the pinned certificate.
    OtherCertificate,
    /// The server does not speak the offered protocol.
    Protocol,
    /// Anything else.
    Tls,
}

impl Tls {
    /// A configuration with nothing pinned yet.
    ///
    /// # Errors
    /// The crypto provider has no cipher suite for the versions; it is built in, so this does not
    /// depend on the machine.
    pub(super) fn new() -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pin = Arc::new(Proven::new(Pin::default(), &provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls calls every verifier of one's own so; what this one does is said above
            .with_custom_certificate_verifier(pin.clone())
            .with_no_client_auth();
        Ok(Self {
            pin,
            config: Arc::new(config),
        })
    }

    /// Performs the handshake, offering one application protocol. The caller sets the timeout.
    ///
    /// # Errors
    /// The [`Refusal`]; only handshake bytes have been sent then.
    pub(super) async fn handshake(
        &self,
        tcp: TcpStream,
        alpn: &[u8],
    ) -> Result<TlsStream<TcpStream>, Refusal> {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![alpn.to_vec()];
        let peer = tcp.peer_addr().map_err(|_| Refusal::Tls)?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(peer.ip().into(), tcp)
            .await
            .map_err(|error| Refusal::of(&error))?;
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        match shown {
            Some(certificate) if self.pin.judge.admit(certificate) => Ok(stream),
            _ => Err(Refusal::OtherCertificate),
        }
    }
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        {
            Some(error) if *error == other_certificate() => Self::OtherCertificate,
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Self::Protocol,
            _ => Self::Tls,
        }
    }
}

fn other_certificate() -> Error {
    CertificateError::ApplicationVerificationFailure.into()
}

fn is_loopback(peer: &ServerName<'_>) -> bool {
    match peer {
        ServerName::IpAddress(ip) => IpAddr::from(*ip).to_canonical().is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::UnixTime;

    use super::*;

    fn certificate() -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .clone()
    }

    fn verdict(
        pin: &Pin,
        certificate: &CertificateDer<'_>,
        peer: &str,
    ) -> Result<ServerCertVerified, Error> {
        let name = &ServerName::try_from(peer.to_owned()).expect("a name");
        let now = UnixTime::now();
        pin.judge(Presented {
            end_entity: certificate,
            intermediates: &[],
            name,
            ocsp: &[],
            now,
        })
    }

    #[test]
    fn only_loopback_is_trusted() {
        let pin = Pin::default();
        let shown = certificate();
        assert!(verdict(&pin, &shown, "127.0.0.1").is_ok());
        assert!(verdict(&pin, &shown, "::1").is_ok());
        for elsewhere in [
            "192.0.2.1",
            "localhost",
            "daily-cloudcode-pa.googleapis.com",
        ] {
            assert!(verdict(&pin, &shown, elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn the_first_certificate_stays_the_only_one() {
        let pin = Pin::default();
        let (first, second) = (certificate(), certificate());
        assert!(
            verdict(&pin, &second, "127.0.0.1").is_ok(),
            "looking at one does not pin it"
        );
        assert!(pin.admit(&first));
        assert!(verdict(&pin, &first, "127.0.0.1").is_ok());
        assert_eq!(
            verdict(&pin, &second, "127.0.0.1").unwrap_err(),
            other_certificate()
        );
        assert!(!pin.admit(&second));
    }
}
