//! Fetching a package over HTTPS.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use moue::base::error::{Error, Result};
use moue::base::file::{FileSystem, create_folder, write_whole};
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::{Progress, hex};

/// The most that a package may hold, in bytes: 512 MiB.
const LARGEST: u64 = 512 << 20;

/// How long to wait for a connection or for the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches `address` to `path`, which is there whole and with this SHA-256 afterwards, or not at all. The system's
/// certificates and the proxy that the environment names are used.
///
/// # Errors
/// [`Error::Config`] when it cannot be fetched or is another file; [`Error::Write`] when it cannot be kept.
pub(super) fn download(
    address: &str,
    sha256: &str,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let failed = |problem: String| {
        Error::config(format!("{address} could not be fetched ({problem})"), "check the connection")
    };
    let mut response = agent().get(address).call().map_err(|error| failed(error.to_string()))?;
    let total = response.body().content_length();
    let mut body = response.body_mut().with_config().limit(LARGEST).reader();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = body.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..read]);
        progress(Progress { done: bytes.len() as u64, total });
    }
    let found = hex(&Sha256::digest(&bytes));
    if found != sha256 {
        return Err(failed(format!("what came is another file: its SHA-256 is {found}, not {sha256}")));
    }
    create_folder(path.parent().unwrap_or(Path::new(".")))?;
    write_whole(&FileSystem, path, |output: &mut dyn Write| -> io::Result<()> { output.write_all(&bytes) })
}

fn agent() -> Agent {
    let certificates = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder().tls_config(certificates);
    config.timeout_connect(Some(PATIENCE)).timeout_per_read(Some(PATIENCE)).build().into()
}
