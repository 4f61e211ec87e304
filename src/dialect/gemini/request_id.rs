//! The agent's own id of a call (`requestId`): its text in, the conversation, the trajectory and
//! the step that it names out.
//!
//! | form | names |
//! |---|---|
//! | `agent/<ms>/<trajectory>/<n>`, `image_gen/<ms>/<trajectory>/<n>` | trajectory, step |
//! | `agent/<conversation>/<ms>/<trajectory>/<n>` | conversation, trajectory, step |
//! | `checkpoint/<uuid>` | nothing for sure: what the UUID stands for is not known |
//! | `agent-<uuid>` | nothing: the UUID is made up for the one call |
//!
//! Later versions have other forms, so UUIDs are found by their order and not by their place. A
//! single one names a trajectory only where the number of a step follows it, as in every known form
//! that has one. Of three nobody knows which is which.

use uuid::Uuid;

/// What a call's own id says of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::dialect) struct RequestId<'a> {
    /// What the call is for, by the agent's word (`agent`, `checkpoint`, ...).
    pub(in crate::dialect) kind: &'a str,
    /// The conversation.
    pub(in crate::dialect) conversation: Option<&'a str>,
    /// The trajectory.
    pub(in crate::dialect) trajectory: Option<&'a str>,
    /// The step within the trajectory.
    pub(in crate::dialect) step: Option<&'a str>,
    /// A UUID that may name anything: it says something only to those who know it from elsewhere.
    pub(in crate::dialect) unexplained: Option<&'a str>,
}

impl<'a> RequestId<'a> {
    /// Reads an id of any form; of one that is not known, only its kind.
    pub(in crate::dialect) fn parse(text: &'a str) -> Self {
        let (kind, parts) = text.split_once('/').unwrap_or((text, ""));
        let mut uuids = parts.split('/').filter(|part| is_uuid(part));
        let step = parts.rsplit('/').next().filter(|last| is_step(last));
        let named = Self {
            kind,
            ..Self::default()
        };
        match (uuids.next(), uuids.next(), uuids.next()) {
            (conversation, trajectory @ Some(_), None) => Self {
                conversation,
                trajectory,
                step,
                ..named
            },
            (trajectory @ Some(_), None, _) if step.is_some() => Self {
                trajectory,
                step,
                ..named
            },
            (unexplained, None, _) => Self {
                unexplained,
                ..named
            },
            _ => named,
        }
    }
}

/// The trajectory in a label `request_id`: `<trajectory>-<n>`.
pub(in crate::dialect) fn trajectory_of_label(text: &str) -> Option<&str> {
    let (trajectory, number) = text.rsplit_once('-')?;
    (is_uuid(trajectory) && is_step(number)).then_some(trajectory)
}

/// Length of the form with hyphens; the library reads others too, which no agent writes.
const UUID_BYTES: usize = 36;

/// The UUID of zeros is what an agent writes when it has none.
fn is_uuid(part: &str) -> bool {
    part.len() == UUID_BYTES && Uuid::try_parse(part).is_ok_and(|uuid| !uuid.is_nil())
}

/// Steps are counted in 32 bits; milliseconds since 1970 take more.
fn is_step(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "5b1f6a52-0f0e-4a39-9d3c-0a6f1c0b7d11";
    const B: &str = "179c837c-8253-4105-902c-d37299fc89d0";

    /// `(conversation, trajectory, step)` of an id.
    fn read(text: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
        let id = RequestId::parse(text);
        (id.conversation, id.trajectory, id.step)
    }

    #[test]
    fn every_known_form_names_what_it_holds() {
        assert_eq!(
            read(&format!("agent/1772754457436/{B}/4")),
            (None, Some(B), Some("4"))
        );
        assert_eq!(
            read(&format!("agent/{A}/1780000000000/{B}/7")),
            (Some(A), Some(B), Some("7"))
        );
        assert_eq!(read(&format!("checkpoint/{B}")), (None, None, None));
        assert_eq!(
            RequestId::parse(&format!("checkpoint/{B}")).unexplained,
            Some(B)
        );
        assert_eq!(
            read(&format!("image_gen/1772754457436/{B}/12")),
            (None, Some(B), Some("12"))
        );
        assert_eq!(read(&format!("agent-{B}")), (None, None, None));
    }

    #[test]
    fn the_first_part_is_the_kind_whatever_follows() {
        for (text, kind) in [
            ("agent/1/2", "agent"),
            ("checkpoint", "checkpoint"),
            ("", ""),
            ("/x", ""),
            (B, B),
        ] {
            assert_eq!(RequestId::parse(text).kind, kind, "{text}");
        }
    }

    #[test]
    fn unknown_forms_give_their_uuids_in_order() {
        assert_eq!(
            read(&format!("agent/v3/{A}/x/{B}/y/9")),
            (Some(A), Some(B), Some("9"))
        );
        assert_eq!(
            read(&format!("web_search/{A}/{B}")),
            (Some(A), Some(B), None)
        );
        let upper = B.to_uppercase();
        assert_eq!(
            read(&format!("agent/{upper}/0")),
            (None, Some(&*upper), Some("0"))
        );
    }

    #[test]
    fn nothing_is_made_up_from_what_does_not_fit() {
        for text in [
            "",
            "/",
            "agent",
            B,
            "agent/1772754457436/4",
            "agent/1772754457436/conversation/4",
            &format!("agent/{}/4", B.replace('-', "")),
            &format!("agent/{{{B}}}/4"),
            &format!("agent/urn:uuid:{B}/4"),
            &format!("agent/{B}0/4"),
            &format!("agent/{}g/4", &B[..35]),
            "agent/00000000-0000-0000-0000-000000000000/4",
            &format!("agent/{A}/{B}/{A}/4"),
        ] {
            assert_eq!(read(text), (None, None, None), "{text}");
        }
        for last in ["", "x", "-1", "+1", "1.5", "1780000000000", "٣"] {
            let id = format!("agent/{B}/{last}");
            assert_eq!(
                (read(&id), RequestId::parse(&id).unexplained),
                ((None, None, None), Some(B)),
                "{last}"
            );
            assert_eq!(
                read(&format!("agent/{A}/{B}/{last}")),
                (Some(A), Some(B), None),
                "{last}"
            );
        }
    }

    #[test]
    fn a_labelled_request_names_its_trajectory() {
        assert_eq!(trajectory_of_label(&format!("{B}-3")), Some(B));
        for text in [
            "",
            "3",
            B,
            "x-3",
            &format!("{B}-"),
            &format!("{B}-x"),
            &format!("{B}-3-4"),
        ] {
            assert_eq!(trajectory_of_label(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn whatever_is_named_stands_in_the_text(text in "(agent|[a-z/0-9-]{0,9})(/(179c837c-8253-4105-902c-d37299fc89d0|[0-9]{0,14}|[ -~]{0,40})){0,6}") {
            let id = RequestId::parse(&text);
            let parts: Vec<_> = text.split('/').collect();
            prop_assert_eq!(id.kind, parts[0]);
            for part in [id.conversation, id.trajectory, id.step, id.unexplained].into_iter().flatten() {
                prop_assert!(parts[1..].contains(&part));
            }
            prop_assert!(id.trajectory.is_none() || id.unexplained.is_none());
            prop_assert!(id.trajectory.is_some() || (id.conversation.is_none() && id.step.is_none()));
        }
    }
}
