//! Announces the agent's ports as the language server does.

use std::io::Write;

use jiff::Timestamp;

use super::StandIn;

/// Writes the ports to `log`, in the language server's wording.
pub(super) fn announce(log: &mut impl Write, stand_in: &StandIn) -> std::io::Result<()> {
    let pid = std::process::id();
    line(
        log,
        1295,
        &format!("Starting language server process with pid {pid}"),
    )?;
    for (place, port, purpose) in [
        (485, stand_in.https, "HTTPS (gRPC)"),
        (492, stand_in.http, "HTTP"),
    ] {
        line(
            log,
            place,
            &format!("Language server listening on random port at {port} for {purpose}"),
        )?;
    }
    Ok(())
}

/// One line in klog's format: severity and date, time, pid, source.
fn line(log: &mut impl Write, place: u32, message: &str) -> std::io::Result<()> {
    let time = Timestamp::now().strftime("%m%d %H:%M:%S%.6f");
    writeln!(
        log,
        "I{time} {} server.go:{place}] {message}",
        std::process::id()
    )
}
