//! The client against real sockets: a small language server that says what each test wants to hear.

mod kit;
mod probe;
mod reactive;
mod stream;
mod unary;
