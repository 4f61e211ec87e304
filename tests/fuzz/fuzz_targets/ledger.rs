#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::ledger::fuzz::fuzz_ledger(bytes));
