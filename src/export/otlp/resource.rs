//! The resource and the instrumentation scopes under which everything is exported.

use std::sync::LazyLock;

use opentelemetry::{InstrumentationScope, KeyValue};

use super::Config;
use crate::export::genai::{CONVENTION, SCHEMA_URL, attribute};

/// The resource that describes this process in all exports.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource(pub(super) opentelemetry_sdk::Resource);

impl Resource {
    /// With an instance id of its own. The operator's attributes replace those that are known here.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        let mut attributes = config.resource.clone();
        let named = attributes.remove(SERVICE_NAME);
        let name = config
            .service_name
            .clone()
            .or(named)
            .unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        attributes.insert(SERVICE_NAME.to_owned(), name);
        for (name, value) in [
            ("host.name", host),
            ("service.instance.id", uuid::Uuid::new_v4().to_string()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ] {
            attributes.entry(name.to_owned()).or_insert(value);
        }
        let attributes = attributes
            .into_iter()
            .map(|(name, value)| KeyValue::new(name, value));
        // Not the default builder, which reads the environment.
        let resource = opentelemetry_sdk::Resource::builder_empty().with_attributes(attributes);
        Self(resource.build())
    }
}

const SERVICE_NAME: &str = "service.name";

/// The scope of what the agent does, with the state of the GenAI convention that it follows.
pub(in crate::export) fn scope() -> InstrumentationScope {
    static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
        InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA_URL)
            .with_attributes([KeyValue::new(attribute::CONVENTION, CONVENTION)])
            .build()
    });
    SCOPE.clone()
}

/// The scope of Gravimeter's own work, by which a collector can distinguish it from what the agent
/// does.
pub(in crate::export) fn diagnostics_scope() -> InstrumentationScope {
    InstrumentationScope::builder("gravimeter.diagnostics")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
