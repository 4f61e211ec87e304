#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gravimeter::tls::hello::fuzz::fuzz_client_hello(bytes));
