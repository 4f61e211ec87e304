#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::rules::fuzz::fuzz_rules(bytes));
