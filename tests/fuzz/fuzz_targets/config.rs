#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::config::fuzz::fuzz_config(bytes));
