#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::cascade::fuzz::fuzz_frames(bytes));
