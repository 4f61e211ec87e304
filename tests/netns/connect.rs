//! The CONNECT proxy on a machine with addresses and users of its own.

use gravimeter::capture::LoopGuard;
use gravimeter::record::RefuseReason;

use crate::stage::{on_stage, root};

/// Public addresses of the machine itself, from the moment at which it has them.
pub(crate) fn an_own_address_is_inside_for_as_long_as_it_is_one() {
    on_stage("connect::an_own_address_is_inside_for_as_long_as_it_is_one", || {
        let guard = LoopGuard::new(vec![], true);
        for (address, spellings) in [
            ("1.2.3.4/32", &["1.2.3.4:443", "[::ffff:1.2.3.4]:443"][..]),
            ("10.2.3.4/32", &["10.2.3.4:443"]),
            ("2a00:1450::4/128", &["[2a00:1450::4]:443"]),
        ] {
            let refused = |spelling: &&str| guard.requested(spelling.parse().expect("an address")).err();
            let all = |expected| spellings.iter().all(|spelling| refused(spelling) == expected);
            assert!(all(None), "{address} is somebody else's");
            root(&format!("ip address add {address} dev lo $([[ {address} != *:* ]] || echo nodad)"));
            assert!(all(Some(RefuseReason::ForbiddenDestination)), "{address} is our own");
            root(&format!("ip address del {address} dev lo"));
            assert!(all(None), "{address} is somebody else's again");
        }
    });
}
