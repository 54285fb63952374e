//! The telnet protocol as far as a judge of it needs to know it, written without a look at the
//! server's.

const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

/// A stream, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) text: Vec<u8>,
    /// Verb and option, in order.
    pub(crate) requests: Vec<(u8, u8)>,
    /// Commands of one byte, and subnegotiations.
    pub(crate) others: usize,
}

impl Stream {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut stream = Self::default();
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match (byte, after) {
                (IAC, [IAC, after @ ..]) => {
                    stream.text.push(IAC);
                    after
                }
                (IAC, [SB, after @ ..]) => {
                    stream.others += 1;
                    let end = after.windows(2).position(|two| two == [IAC, SE]);
                    &after[end.expect("a subnegotiation ends") + 2..]
                }
                (IAC, [verb @ WILL..=DONT, option, after @ ..]) => {
                    stream.requests.push((*verb, *option));
                    after
                }
                (IAC, [_, after @ ..]) => {
                    stream.others += 1;
                    after
                }
                (IAC, []) => panic!("half a command: {}", bytes.escape_ascii()),
                _ => {
                    stream.text.push(byte);
                    after
                }
            };
        }
        stream
    }

    fn has_commands(&self) -> bool {
        self.others > 0 || !self.requests.is_empty()
    }

    fn count(&self, verb: u8, option: u8) -> usize {
        self.requests.iter().filter(|request| **request == (verb, option)).count()
    }
}

/// Judges what the server sent to a client that sent this.
pub(crate) fn judge(client: &Stream, server: &Stream) -> Result<(), String> {
    if server.has_commands() && !client.has_commands() {
        return Err("a command to a peer that has sent none".to_owned());
    }
    for &(verb, option) in &client.requests {
        let answers = match verb {
            DO => [WILL, WONT],
            WILL => [DO, DONT],
            // Off it was already, and stays: to answer that is how loops begin.
            _ => continue,
        };
        let answered: usize = answers.iter().map(|answer| server.count(*answer, option)).sum();
        if !(1..=client.count(verb, option)).contains(&answered) {
            return Err(format!("{answered} answers to {verb} {option}"));
        }
    }
    // No answer is one to be answered again.
    for &(verb, option) in &server.requests {
        if server.count(verb, option) > 1 {
            return Err(format!("{verb} {option} more than once"));
        }
        let is_refusal = matches!(verb, WONT | DONT);
        let asked = if verb == WONT { DO } else { WILL };
        if is_refusal && client.count(asked, option) == 0 {
            return Err(format!("{verb} {option} without having been asked"));
        }
    }
    Ok(())
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let asks = [IAC, DO, 1, IAC, WILL, 31];
    for (client, server, is_right) in [
        (&b"hi\r\n"[..], &b"hello\r\n"[..], true),
        (b"hi\r\n", &[IAC, WILL, 1], false),
        (b"hi\r\n", &[IAC, 241], false),
        (&asks, &[IAC, WONT, 1, IAC, DONT, 31], true),
        (&asks, &[IAC, WILL, 1, IAC, DO, 31], true),
        (&asks, &[IAC, WONT, 1], false),
        (&asks, &[IAC, WONT, 1, IAC, DONT, 31, IAC, WONT, 1], false),
        (&asks, &[IAC, WONT, 1, IAC, WILL, 1, IAC, DONT, 31], false),
        (&asks, &[IAC, WONT, 1, IAC, DONT, 31, IAC, WONT, 3], false),
        (&[IAC, DONT, 1], &[], true),
        (&[IAC, DONT, 1], &[IAC, WONT, 1], false),
    ] {
        let judged = judge(&Stream::of(client), &Stream::of(server));
        assert_eq!(judged.is_ok(), is_right, "{client:?} {server:?}: {judged:?}");
    }
}
