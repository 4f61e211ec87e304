#![no_main]

use gravimeter::observe::Alpn;
use gravimeter::observe::fuzz::fuzz_framing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_framing(Alpn::H2, bytes));
