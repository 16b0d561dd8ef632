//! The one request of Kafka's protocol that tells whether a broker answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// ApiVersions, version 0: length, key 18, version 0, correlation id 7, no client id. Kafka promises
/// to answer this one whatever it has dropped.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Whether a Kafka broker answers at the address, without error, within two seconds.
pub(super) fn answers(address: &str) -> bool {
    ask(address).unwrap_or(false)
}

fn ask(address: &str) -> std::io::Result<bool> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&REQUEST)?;
    // Length, correlation id, error code.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer[4..] == [0, 0, 0, 7, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that is no broker, but listens.
    fn listener(reply: &'static [u8]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 14];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, REQUEST);
            stream.write_all(reply).unwrap();
        });
        address
    }

    #[test]
    fn only_a_brokers_answer_counts() {
        assert!(answers(&listener(&[0, 0, 0, 6, 0, 0, 0, 7, 0, 0])));
        assert!(!answers(&listener(&[0, 0, 0, 6, 0, 0, 0, 7, 0, 35])));
        assert!(!answers(&listener(b"HTTP/1.1 400")));
        assert!(!answers(&listener(b"")));
        assert!(!answers("127.0.0.1:1"));
    }
}
