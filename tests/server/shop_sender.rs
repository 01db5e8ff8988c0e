//! How the tests of deliveries send them: over a socket of their own, or on a shop's connection that stays open.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::process::{PATIENCE, Server};
use super::shop_rig::Delivery;

/// Sends bytes, and reads the status and body of the answer.
pub fn send_raw(server: &Server, request: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    // A server that refuses early may close before all is written.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

/// Sends a delivery on a connection of its own.
pub fn send(server: &Server, delivery: &Delivery) -> u16 {
    let (status, body) = send_raw(server, &request(delivery, "connection: close\r\n"));
    assert_eq!(body, "", "no detail is told");
    status
}

/// A delivery as it goes over the socket.
pub fn request(delivery: &Delivery, more: &str) -> Vec<u8> {
    let (shop, length) = (delivery.shop, delivery.body.len());
    let mut request =
        format!("POST /webhooks/{shop} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}");
    for (name, value) in &delivery.headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request.push_str("\r\n");
    request.push_str(&delivery.body);
    request.into_bytes()
}

/// A shop's connection, which stays open.
pub struct Sender(BufReader<TcpStream>);

impl Sender {
    pub fn connect(address: &str) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(socket)))
    }

    /// Sends a request, and gives the status of the answer.
    ///
    /// # Errors
    /// No answer came: nobody knows whether it was taken.
    pub fn send(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.0.get_mut().write_all(request)?;
        let mut status = String::new();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if status.is_empty() {
                status.clone_from(&line);
            }
        }
        status
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| std::io::ErrorKind::InvalidData.into())
    }
}
