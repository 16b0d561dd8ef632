//! The command line of `cargo xtask kafka`.

use super::cluster::{APART, Shape, THREE};
use crate::port;

/// Where clients connect to a single broker when nothing else is said.
const PORT: u16 = 19_092;
/// The third broker's last port must still be one.
const MOST: u16 = u16::MAX - (THREE - 1) * APART - 6;

const USAGE: &str = "\
cargo xtask kafka up|down|reset|status [--brokers 1|3] [--secure] [--port N]
cargo xtask kafka kill|pause|resume|start NUMBER [--brokers 1|3] [--port N]

  up      fetch Apache Kafka from Maven Central if need be, start it empty, wait until it answers;
          of three brokers, start those that do not run, with what they held
  down    stop what `up` started
  reset   down, then up: empty again
  status  say which brokers run and answer; fails unless all do
  kill    kill -9 broker NUMBER (counted from one)
  pause   stop it where it stands (SIGSTOP)
  resume  let it go on (SIGCONT)
  start   start it again with what it held, wait until it answers

  --brokers 3  three brokers instead of one: three copies, two of them before an acknowledgement
  --secure     a further listener, on the port after the controller's, that asks for TLS and SASL

The port is 19092 unless --port or ASSENT_KAFKA_PORT says otherwise, and 4 more for three brokers. The
second and third broker listen 10 and 20 above the first, each controller one above its broker.";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) command: Command,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Up,
    Down,
    Reset,
    Status,
    /// What is done to one broker, by its number.
    Fault(Fault, u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Pause,
    Resume,
    Start,
}

pub(super) fn parse(args: &[String]) -> Result<Order, String> {
    let wrong = |what: String| format!("{what}\n\n{USAGE}");
    let mut command = None;
    let (mut port, mut three, mut secure) = (None, false, false);
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let fault = |fault, number: Option<&str>| {
            let number = number.and_then(|text| text.parse().ok());
            let number = number.ok_or(wrong(format!("`{arg}` needs the number of a broker")))?;
            Ok::<_, String>(Command::Fault(fault, number))
        };
        let next = match arg {
            "up" => Command::Up,
            "down" => Command::Down,
            "reset" => Command::Reset,
            "status" => Command::Status,
            "kill" => fault(Fault::Kill, args.next())?,
            "pause" => fault(Fault::Pause, args.next())?,
            "resume" => fault(Fault::Resume, args.next())?,
            "start" => fault(Fault::Start, args.next())?,
            "--secure" => {
                secure = true;
                continue;
            }
            "--brokers" => {
                three = match args.next() {
                    Some("1") => false,
                    Some("3") => true,
                    Some(_) | None => return Err(wrong("--brokers takes 1 or 3".to_owned())),
                };
                continue;
            }
            "--port" => {
                let value = args
                    .next()
                    .ok_or(wrong("--port needs a number".to_owned()))?;
                port = Some(port::parse(value, MOST)?);
                continue;
            }
            unknown => return Err(wrong(format!("no command `{unknown}`"))),
        };
        if command.replace(next).is_some() {
            return Err(wrong("one command at a time".to_owned()));
        }
    }
    let command = command.ok_or(USAGE)?;
    let mut shape = match three {
        true => Shape::three(default_port()?),
        false => Shape::one(default_port()?),
    };
    shape.port = port.unwrap_or(shape.port);
    shape.secure = secure;
    Ok(Order { command, shape })
}

/// The single broker's port; that of three brokers follows from it.
pub(super) fn default_port() -> Result<u16, String> {
    port::told("ASSENT_KAFKA_PORT", PORT, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Order, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn lines_are_read() {
        let order = read("up --port 29092").unwrap();
        assert_eq!((order.command, order.shape.port), (Command::Up, 29_092));
        let order = read("--port 2000 down").unwrap();
        assert_eq!((order.command, order.shape.port), (Command::Down, 2000));
        let order = read("reset --secure --brokers 3").unwrap();
        assert_eq!(order.command, Command::Reset);
        assert!(order.shape.secure && order.shape.brokers == 3);
        let order = read("kill 2 --brokers 3").unwrap();
        assert_eq!(order.command, Command::Fault(Fault::Kill, 2));
        assert!(!order.shape.secure);
        // One broker and three can run side by side.
        let one = read("status").unwrap().shape.port;
        assert_eq!(order.shape.port, one + 4);
    }

    #[test]
    fn bad_lines_show_the_usage() {
        for bad in [
            "",
            "up down",
            "begin",
            "up --port",
            "kill",
            "kill x",
            "up --brokers 2",
        ] {
            assert!(
                read(bad)
                    .unwrap_err()
                    .contains("kafka up|down|reset|status"),
                "{bad}"
            );
        }
        for bad in [
            "up --port 80",
            "up --port 65535",
            "up --port 65510",
            "up --port x",
        ] {
            assert!(read(bad).unwrap_err().contains("no port"), "{bad}");
        }
    }
}
