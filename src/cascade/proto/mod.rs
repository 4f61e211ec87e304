//! The wire types of the language server's reactive stream, generated from the `.proto` files
//! beside this one.
//!
//! Source of names and numbers: the descriptors that ship inside the agent's own bundles.

/// `exa.language_server_pb`
#[allow(
    missing_docs,
    reason = "generated: whether it needs this depends on the generator"
)]
pub mod language_server_pb {
    tonic::include_proto!("exa.language_server_pb");
}

/// `exa.reactive_component_pb`
#[allow(
    missing_docs,
    reason = "generated: whether it needs this depends on the generator"
)]
pub mod reactive_component_pb {
    tonic::include_proto!("exa.reactive_component_pb");
}
