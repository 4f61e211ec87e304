//! Copies ciphertext both ways, from the replayed first bytes to the end: the rules of
//! [`super::pass`] without an observer.

use tokio::io::{AsyncRead, AsyncWrite};

use super::pass::{Terms, pass};
use crate::observe::End;

/// Carries an opaque connection to its end. Half-close is the end of the TCP stream here.
pub async fn tunnel<A, P>(agent: &mut A, provider: &mut P, terms: &Terms<'_>) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    P: AsyncRead + AsyncWrite + Unpin,
{
    pass(agent, provider, None, None, terms).await
}
