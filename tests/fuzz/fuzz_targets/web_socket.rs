#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::observe::fuzz::fuzz_web_socket(bytes));
