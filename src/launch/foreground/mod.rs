//! A program in the foreground: it has our terminal, our standard streams and our environment with a
//! few variables more, and we end as it has ended.
//!
//! The program stays in our own process group, as it would without us. So the terminal's signals,
//! the shell's job control and the other programs of a pipeline reach it as always, and nothing has
//! to be passed on but what was sent to us alone.

mod command;
mod ending;
mod environment;
mod exec;
mod follow;
mod other_user;
mod terminal;

pub(crate) use command::Executable;
pub(crate) use ending::{Ending, end_by_signal};
pub(crate) use environment::{Environment, base_url_variables, is_no_proxy, proxy_in_use};
pub(crate) use exec::{COMMAND, ExecPlan, execute};
pub(crate) use follow::{FollowError, Foreground};
pub(crate) use other_user::{OtherUser, Started};
