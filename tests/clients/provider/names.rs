//! The names that clients ask for, and the addresses that they get.

use crate::stage::{PROVIDER_V4, root};

/// The providers whose models answer here.
pub(crate) const HOSTS: [&str; 10] = [
    "aiplatform.us.rep.googleapis.com",
    "api.anthropic.com",
    "api.openai.com",
    "aws-external-anthropic.us-east-1.api.aws",
    "bedrock-mantle.us-east-1.api.aws",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "chatgpt.com",
    "claude.googleapis.com",
    "generativelanguage.googleapis.com",
    OF_A_CUSTOMER,
];

/// One that each customer of Azure calls as he likes, so that no list of hosts has it.
pub(crate) const OF_A_CUSTOMER: &str = "customer.services.ai.azure.com";

/// What the agents ask for besides: updates, plugins, measurements of their makers. Nobody listens
/// at the address that these names get.
const ELSEWHERE: [&str; 7] = [
    "ab.chatgpt.com",
    "api.github.com",
    "bedrock.us-east-1.amazonaws.com",
    "downloads.claude.ai",
    "github.com",
    "play.googleapis.com",
    "registry.npmjs.org",
];

/// Gives every name an address of the stage, and leaves no other way to find one.
pub(super) fn assign() {
    let lines = |address: &str, hosts: &[&str]| format!("{address} {}\n", hosts.join(" "));
    let hosts = [
        lines("127.0.0.1", &["localhost"]),
        lines(PROVIDER_V4, &HOSTS),
        lines(NOBODY, &ELSEWHERE),
    ];
    std::fs::write("/etc/hosts", hosts.concat()).expect("names of the stage");
    root(&format!(
        "echo 'nameserver {NOBODY}\noptions timeout:1 attempts:1' >/etc/resolv.conf && ip address add {NOBODY}/32 dev lo"
    ));
}

const NOBODY: &str = "203.0.113.9";
