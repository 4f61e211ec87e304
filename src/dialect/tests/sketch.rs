//! A made-up dialect: `POST /sketch` names a model, and a JSON document answers with its tokens.

use super::super::answer::{ReadAnswer, Said};
use super::super::{anthropic::MessageRequest, body::json_body, request::json_request, *};
use crate::{observe::json::*, record::*};

pub(in crate::dialect) const DIALECT: Dialect = Dialect {
    hosts: &[],
    listed: Listed::NOTHING,
    limits: HeadLimits::NONE,
    provider_of: |host| (host.as_str() == "sketch.example.com").then_some(Provider::Ollama),
    is_private: |_, _| false,
    recognise: |_, head| (head.path == "/sketch").then_some(Recognised::Call(CALL)),
};

const CALL: CallHead = CallHead {
    provider: Provider::Ollama,
    operation: Operation::Chat,
    model: None,
    form: &anthropic::MESSAGE,
    expects_events: false,
    request: |head, memory| json_request(head, memory, MessageRequest::default()),
    answer: |of| json_body(of, Answer(TokenUsage::default())),
};

struct Answer(TokenUsage);

impl ReadAnswer for Answer {
    type Field = TokenKind;

    fn paths(&self) -> &'static Paths<TokenKind> {
        static PATHS: LazyLock<Paths<TokenKind>> =
            LazyLock::new(|| Paths::new([("in", TokenKind::Input), ("out", TokenKind::Output)]));
        &PATHS
    }

    fn value(&mut self, kind: TokenKind, value: &Value<'_>) -> bool {
        self.0[kind] = tokens::count(value);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        true
    }

    fn drop_document(&mut self) {
        self.0 = TokenUsage::default();
    }

    fn is_over(&self) -> bool {
        !self.0.is_unreported()
    }

    fn said(&self, _: std::time::SystemTime) -> Said {
        Said {
            usage: self.0,
            is_sound: true,
            ..Said::default()
        }
    }
}
