//! The whole server on real sockets, asked by a client that writes its own bytes.

mod access;
mod api;
mod cascades;
mod kit;
mod limits;
mod live;
mod page;
mod prometheus;
mod usage;
