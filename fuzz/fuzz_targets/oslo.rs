//! Any text is a configuration file of OpenStack's or is refused, and every value of it can be asked for; so are addresses of
//! brokers, which never show their password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::oslo::{Config, TransportUrl};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(url) = String::from_utf8_lossy(bytes).parse::<TransportUrl>() {
        assert!(!url.brokers.is_empty() && !url.to_string().is_empty());
    }
    let Ok(config) = Config::parse(bytes) else { return };
    for section in config.sections() {
        for key in config.section(section).unwrap().keys() {
            assert!(config.get(section, key).is_some());
            assert!(!config.all(section, key).is_empty());
            let _ = config.flag(section, key);
        }
    }
    let _ = config.transport();
});
