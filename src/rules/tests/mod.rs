//! Tests of rules on whole requests.
