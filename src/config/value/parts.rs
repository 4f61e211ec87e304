//! Readers of lists and tables. A mistake in one element carries the line of that element.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::{Part, Value, Wrong, quoted};
use crate::export::otlp::Headers;
use crate::record::Host;

impl Value {
    /// Each element, read by `read`, such as the text `example`.
    pub(in crate::config) fn list<T>(
        &self,
        example: &str,
        read: impl Fn(&Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        if let Self::List(parts) = self {
            return parts
                .iter()
                .map(|part| part.read(|part| read(&part.value)))
                .collect();
        }
        let element = if read(self).is_ok() {
            self.to_toml(false)
        } else {
            quoted(example)
        };
        Err(self.is_not("a list", &format!("it as [{element}]")))
    }

    /// Names and texts.
    pub(in crate::config) fn table(&self) -> Result<BTreeMap<String, String>, Wrong> {
        let entry = |Part { name, value, .. }: &Part| Ok((name.clone(), value.text()?));
        self.parts("name")?
            .iter()
            .map(|part| part.read(entry))
            .collect()
    }

    /// Names and values of environment variables. What was given is never repeated: it may be a
    /// secret.
    pub(in crate::config) fn environment(&self) -> Result<BTreeMap<String, String>, Wrong> {
        let Self::Map(parts) = self else {
            return Err(Wrong::new(
                r#"this is not a table: write it as { NAME = "value" }"#.to_owned(),
            ));
        };
        let entry = |Part { name, value, .. }: &Part| match value {
            _ if name.is_empty() || name.contains(['=', '\0']) => Err(Wrong::new(format!(
                "{name:?} is not the name of a variable: write it without '='"
            ))),
            Self::Text(text) if !text.contains('\0') => Ok((name.clone(), text.clone())),
            _ => Err(Wrong::new(format!(
                "the value of {name} is not a text: write it in quotes"
            ))),
        };
        parts.iter().map(|part| part.read(entry)).collect()
    }

    /// Fields of a request. Their values are not repeated.
    pub(in crate::config) fn headers(&self) -> Result<Headers, Wrong> {
        let mut headers = Headers::default();
        for part in self.parts("name")? {
            part.read(|Part { name, value, .. }| {
                let Self::Text(text) = value else {
                    return Err(Wrong::new(format!(
                        "the value of {name} is not a text: write it in quotes"
                    )));
                };
                headers.add(name, text).map_err(|what| match what {
                    "name" => Wrong::new(format!(
                        "{name:?} is not the name of a header: write letters, digits and '-'"
                    )),
                    _ => Wrong::new(format!(
                        "the value of {name} is not one of a header: write it in printable ASCII"
                    )),
                })
            })?;
        }
        Ok(headers)
    }

    /// Hosts with port, and the addresses to dial for them.
    pub(in crate::config) fn resolve(&self) -> Result<HashMap<(Host, u16), SocketAddr>, Wrong> {
        let Self::Map(parts) = self else {
            return Err(self.is_not(
                "a table",
                r#"it as { "api.example.com:443" = "127.0.0.1:8443" }"#,
            ));
        };
        let entry = |Part { name, value, .. }: &Part| {
            let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
            let host = Host::parse(host)
                .ok()
                .zip(port.parse().ok().filter(|port| *port != 0));
            let host = host.ok_or_else(|| {
                Wrong::new(format!(
                    r#"{name:?} is not a host with its port: write it as "api.example.com:443""#
                ))
            })?;
            Ok((host, value.address("127.0.0.1:8443")?))
        };
        parts.iter().map(|part| part.read(entry)).collect()
    }

    fn parts(&self, example: &str) -> Result<&[Part], Wrong> {
        match self {
            Self::Map(parts) => Ok(parts),
            _ => Err(Wrong::new(format!(
                r#"this is not a table: write it as {{ {example} = "value" }}"#
            ))),
        }
    }
}

impl Part {
    /// Reads the part; what is wrong is then wrong on its line, or on that of a part of it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        read(self).map_err(|wrong| Wrong {
            line: wrong.line.or(self.line),
            ..wrong
        })
    }
}
