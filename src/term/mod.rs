//! What people see on a terminal: figures in columns.
//!
//! Input: names and cells, or an answer of `/v1/usage` or `/v1/quotas`. Output: aligned text. Never fetches
//! anything and never asks the terminal.

pub mod figures;
pub mod grid;
pub mod limits;
pub mod table;
