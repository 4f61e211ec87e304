#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::dialect::fuzz::fuzz_sessions(bytes));
