//! `gravimeter ca`: look at the CA, replace it, hand its certificate on. Its key is never printed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;

use super::flags::ConfigFlags;
use crate::config::Config;
use crate::tls::authority::Authority;

/// Show, replace or export the certificate authority that the agent trusts
#[derive(Debug, Args)]
pub(super) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print where the CA lies, until when it is valid and for which hosts
    Show {
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Replace the CA by a new one; a running gravimeter and its agent must be started again
    Renew {
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Print the certificate as PEM, for a client that gravimeter does not start
    Export {
        /// Write it to a file instead
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigFlags,
    },
}

impl Ca {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Show { config } => show(&config.load()?.config, out)?,
            Command::Renew { config } => renew(&config.load()?.config, out)?,
            Command::Export { out: file, config } => {
                let pem = read(&config.load()?.config)?;
                match file {
                    Some(path) => {
                        fs::write(&path, pem).with_context(|| path.display().to_string())?
                    }
                    None => out.write_all(&pem)?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = certificate_path(config);
    let pem = read(config)?;
    let pem = parse(&path, &pem)?;
    let certificate = pem
        .parse_x509()
        .with_context(|| format!("{} holds no certificate", path.display()))?;
    writeln!(out, "certificate  {}", path.display())?;
    writeln!(out, "subject      {}", certificate.subject())?;
    writeln!(out, "serial       {}", certificate.raw_serial_as_string())?;
    writeln!(out, "valid from   {}", certificate.validity().not_before)?;
    writeln!(out, "valid until  {}", certificate.validity().not_after)?;
    for host in permitted(&certificate) {
        writeln!(out, "permits      {host} and names below it")?;
    }
    Ok(())
}

fn renew(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    let authority = Authority::renew(&config.ca_dir(), &config.relay.intercept, SystemTime::now())?;
    writeln!(
        out,
        "new CA in {}, SHA-256 {}",
        config.ca_dir().display(),
        authority.fingerprint_sha256()
    )?;
    writeln!(
        out,
        "Start gravimeter and its agent again: the old one is no longer used."
    )?;
    Ok(())
}

/// When the CA ends, in seconds since 1970.
pub(super) fn ends_at(config: &Config) -> anyhow::Result<i64> {
    let path = certificate_path(config);
    let pem = read(config)?;
    let pem = parse(&path, &pem)?;
    let certificate = pem
        .parse_x509()
        .with_context(|| format!("{} holds no certificate", path.display()))?;
    Ok(certificate.validity().not_after.timestamp())
}

pub(super) fn certificate_path(config: &Config) -> PathBuf {
    config.ca_dir().join("ca.pem")
}

fn read(config: &Config) -> anyhow::Result<Vec<u8>> {
    let path = certificate_path(config);
    match fs::read(&path) {
        Ok(pem) => Ok(pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "{}: there is no CA yet: `gravimeter serve` makes it, or `gravimeter ca renew`",
                path.display()
            )
        }
        Err(error) => Err(error)
            .with_context(|| format!("{}: run it as the user of gravimeter", path.display())),
    }
}

fn parse(path: &Path, pem: &[u8]) -> anyhow::Result<Pem> {
    let parsed = x509_parser::pem::parse_x509_pem(pem);
    parsed
        .map(|(_, pem)| pem)
        .map_err(|_| anyhow::anyhow!("{} is not PEM: restore it", path.display()))
}

fn permitted<'a>(certificate: &X509Certificate<'a>) -> Vec<&'a str> {
    let constraints =
        certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::NameConstraints(constraints) => Some(constraints),
                _ => None,
            });
    let permitted = constraints.and_then(|constraints| constraints.permitted_subtrees.as_ref());
    let name = |base: &GeneralName<'a>| {
        if let GeneralName::DNSName(name) = base {
            Some(*name)
        } else {
            None
        }
    };
    permitted
        .into_iter()
        .flatten()
        .filter_map(|subtree| name(&subtree.base))
        .collect()
}
