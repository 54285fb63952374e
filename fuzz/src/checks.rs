//! What must hold for any bytes at all. The fuzz targets call these functions, and
//! `tests/corpus.rs` calls them with the inputs that were worth keeping.

mod session;
mod terminal;

use std::hash::RandomState;
use std::ops::ControlFlow;

use chatd::chat::{Action, Chat, Config, ConnId, Event, Message, PeerId, PeerSet, Sink};
use chatd::dialect::{Decoder, Dialect, Input};
use chatd::limits::{
    FRAME_LEN_MAX, FRAME_LINES_MAX, FRAME_RENDERED_LEN_MAX, HELP_LEN_MAX, LINE_LEN_MAX,
    LIST_LEN_MAX, RENDERED_LEN_MAX,
};
use chatd::text;
use chatd::time::Time;

/// The reading side of `telnet`.
pub fn telnet(data: &[u8]) {
    decoder(Dialect::Telnet, data);
}

/// The reading side of `rid`.
pub fn rid(data: &[u8]) {
    decoder(Dialect::Rid, data);
}

/// The reading side of `p2p`.
pub fn p2p(data: &[u8]) {
    decoder(Dialect::P2p, data);
}

/// Any bytes come out of the gate as one line of text that is safe to show, and it is done with
/// them then.
pub fn gate(data: &[u8]) {
    let mut scratch = String::new();
    let clean = text::clean(data, &mut scratch).to_owned();
    // A byte that is no UTF-8 becomes a character of three.
    assert!(clean.len() <= 3 * data.len());
    assert!(is_shown(&clean), "{clean:?}");
    terminal::show(clean.as_bytes(), false);
    assert_eq!(text::clean(clean.as_bytes(), &mut String::new()), clean);
}

/// Four clients of all dialects: each reads just what was said where it is.
pub fn session(data: &[u8]) {
    session::run(data);
}

/// Rich mode: the line that the server edits. What is drawn holds only what the editor means to
/// send, and no more than the line can be. The first byte says how the rest is cut; between two
/// pieces a message may come, or another process.
pub fn rich(data: &[u8]) {
    let Some((&cuts, rest)) = data.split_first() else { return };
    let sent = edited(cuts, rest, false);
    assert!(sent == edited(cuts, rest, true), "carried over");
    terminal::show(&without_telnet(&sent), true);
}

/// What a client in rich mode is sent; with a decoder that is carried over between pieces, or not.
fn edited(cuts: u8, rest: &[u8], carries: bool) -> Vec<u8> {
    let mut decoder = Dialect::Telnet.decoder();
    let mut sent = Vec::new();
    decoder.set_rich(true, &mut sent);
    // WILL NAWS, a window, WONT TTYPE; DO ECHO, DO SGA.
    let width = 20 + cuts % 60;
    let agreed = [
        &[255, 251, 31, 255, 250, 31, 0, width, 0, 24, 255, 240, 255, 252, 24][..],
        &[255, 253, 1, 255, 253, 3],
    ];
    for bytes in agreed.into_iter().flat_map(|bytes| bytes.chunks(1)) {
        decoder = if carries { carried(&decoder) } else { decoder };
        draw(&mut decoder, bytes, &mut sent);
    }
    decoder.draw(&mut sent);
    assert!(sent.ends_with(b"> "), "it is on: {}", sent.escape_ascii());
    for (number, piece) in (Cut { rest, seed: cuts.into() }).enumerate() {
        if number % 3 == 2 {
            decoder.clear(&mut sent);
            sent.extend_from_slice(b"[plato] hi\r\n");
            decoder.draw(&mut sent);
        }
        decoder = if carries { carried(&decoder) } else { decoder };
        draw(&mut decoder, piece, &mut sent);
    }
    sent
}

/// As it comes out in another process.
fn carried(decoder: &Decoder) -> Decoder {
    let bytes = rmp_serde::to_vec_named(decoder).expect("it can be written");
    rmp_serde::from_slice(&bytes).expect("it can be read")
}

/// Four people, two of whom speak `telnet`, do what the bytes say. Cut at each 0x01; what follows
/// it says who goes on.
pub fn commands(data: &[u8]) {
    let told = conversation(data);
    // With other seeds of the hash maps.
    assert_eq!(conversation(data), told, "the same twice");
}

/// The first byte says how the rest is cut.
fn decoder(dialect: Dialect, data: &[u8]) {
    let Some((&cuts, bytes)) = data.split_first() else { return };
    // The first read of p2p is an id, however long it is: it stays in one piece.
    let head = if dialect == Dialect::P2p { bytes.len().min(1 + usize::from(cuts)) } else { 0 };
    let (head, rest) = bytes.split_at(head);
    let whole = read(dialect, [head, rest], Manner::Plain);
    let single = || [head].into_iter().chain(rest.chunks(1));
    let several = || [head].into_iter().chain(Cut { rest, seed: cuts.into() });
    assert_eq!(read(dialect, single(), Manner::Plain), whole, "byte by byte");
    assert_eq!(read(dialect, several(), Manner::Plain), whole, "in pieces");
    assert_eq!(read(dialect, [head, rest], Manner::Breaks), whole, "with breaks");
    assert_eq!(read(dialect, several(), Manner::Breaks), whole, "in pieces, with breaks");
    assert_eq!(read(dialect, single(), Manner::Carried), whole, "carried at each byte");
    assert_eq!(read(dialect, several(), Manner::Carried), whole, "carried at each piece");
}

/// IAC SB CHARSET REQUEST ";UTF-8" IAC SE.
const CHARSET_REQUEST_LEN: usize = 12;

/// Pieces of lengths that look random.
struct Cut<'a> {
    rest: &'a [u8],
    seed: u32,
}

impl<'a> Iterator for Cut<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = 1 + (self.seed >> 24) as usize % 20;
        let piece = self.rest.split_off(..len.min(self.rest.len()))?;
        (!piece.is_empty()).then_some(piece)
    }
}

/// How a connection is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    /// With a sink that breaks at each input.
    Breaks,
    /// By another process after each piece; and where the sink breaks, before the rest of it.
    Carried,
}

/// What one connection makes of the pieces, in words.
fn read<'a>(
    dialect: Dialect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    manner: Manner,
) -> Vec<String> {
    let breaks = manner != Manner::Plain;
    let mut decoder = dialect.decoder();
    let mut made = Vec::new();
    let mut state = State::default();
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = made.len();
            if manner == Manner::Carried {
                decoder = carried(&decoder);
            }
            let taken = decoder.decode(piece, &mut |input| {
                state.check(&input);
                made.push(format!("{input:?}"));
                if breaks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            state.taken_len += taken;
            assert!(taken == piece.len() || (breaks && made.len() == before + 1));
            assert!(!breaks || made.len() <= before + 1, "an input after a break");
            piece = &piece[taken..];
        }
    }
    // A protocol that answers with more than it was sent can be led into a loop. What telnet asks
    // for of itself, it asks for once.
    assert!(state.answer_len <= state.taken_len + CHARSET_REQUEST_LEN);
    made
}

/// What a connection's inputs have been so far.
#[derive(Default)]
struct State {
    is_over: bool,
    answer_len: usize,
    taken_len: usize,
}

impl State {
    fn check(&mut self, input: &Input<'_>) {
        assert!(!self.is_over, "after the last input: {input:?}");
        match input {
            Input::Line(line) => assert!(is_line(line), "{line:?}"),
            Input::Id(id) => assert!(is_shown(id), "{id:?}"),
            Input::To { name, text } => {
                assert!(is_line(name) && is_line(text), "{name:?} {text:?}");
            }
            Input::Frame { room, text } => {
                assert!(!room.is_empty() && room.bytes().all(|byte| byte.is_ascii_digit()));
                assert!(text.len() <= FRAME_LEN_MAX && text.lines().count() <= FRAME_LINES_MAX);
                assert!(text.split('\n').all(is_shown), "{text:?}");
            }
            Input::Answer(bytes) => self.answer_len += bytes.len(),
            Input::EndlessLine | Input::Foreign => self.is_over = true,
            _ => {}
        }
    }
}

fn is_line(text: &str) -> bool {
    text.len() <= LINE_LEN_MAX && is_shown(text)
}

/// Whether the text does nothing to a terminal but to be shown.
fn is_shown(text: &str) -> bool {
    let reorders = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() || reorders(c) || ['\u{2028}', '\u{2029}'].contains(&c))
}

/// Everything that anybody was told, in order.
fn conversation(data: &[u8]) -> Vec<String> {
    const DIALECTS: [Dialect; 4] = [Dialect::Telnet, Dialect::Telnet, Dialect::Rid, Dialect::P2p];
    let config = Config {
        peer_count: 1,
        rooms: vec!["python".to_owned()],
        clients_max: DIALECTS.len(),
        ..Config::default()
    };
    let mut chat = Chat::new(config, RandomState::new());
    let mut told = Told::default();
    let conns = [0, 1, 2, 3].map(|index| ConnId { peer: PeerId(0), index, generation: 0 });
    for ((conn, dialect), port) in conns.into_iter().zip(DIALECTS).zip(1_000..) {
        let addr = ([127, 0, 0, 1], port).into();
        let event = Event::Connected { conn, addr, start: dialect.start() };
        chat.handle(Time::default(), event, &mut told);
    }
    let mut decoders = DIALECTS.map(Dialect::decoder);
    for piece in data.split(|byte| *byte == 1) {
        let Some((&who, bytes)) = piece.split_first() else { continue };
        let index = usize::from(who) % DIALECTS.len();
        say(&mut chat, &mut decoders[index], conns[index], bytes, &mut told);
    }
    for conn in conns {
        chat.handle(Time::default(), Event::Disconnected { conn }, &mut told);
    }
    assert_eq!(chat.client_count(), 0);
    told.words
}

fn say(chat: &mut Chat, decoder: &mut Decoder, conn: ConnId, bytes: &[u8], told: &mut Told) {
    decoder.decode(bytes, &mut |input| {
        let event = match input {
            Input::Line(text) => Event::Line { conn, text },
            Input::Frame { room, text } => Event::Frame { conn, room, text },
            Input::Id(name) => Event::Id { conn, name },
            Input::To { name, text } => Event::To { conn, name, text },
            Input::Invalid => Event::Invalid { conn },
            Input::LineTooLong => Event::LineTooLong { conn },
            _ => return ControlFlow::Continue(()),
        };
        let before = told.words.len();
        chat.handle(Time::default(), event, told);
        // A list, with its head and its tail, is the longest answer.
        assert!(told.words.len() - before <= LIST_LEN_MAX + 2 + 8, "{input:?}");
        ControlFlow::Continue(())
    });
}

/// Takes the actions, and checks how they look in every dialect.
#[derive(Default)]
struct Told {
    words: Vec<String>,
}

impl Sink for Told {
    fn push(&mut self, peers: PeerSet, action: Action<&str>) {
        assert!(!peers.is_empty());
        if let Action::Tell { message, .. } | Action::Say { message, .. } = action {
            Dialect::ALL.into_iter().for_each(|dialect| check_words(dialect, &message));
        }
        self.words.push(format!("{peers:?} {action:?}"));
    }
}

fn check_words(dialect: Dialect, message: &Message<&str>) {
    let mut words = Vec::new();
    dialect.render(message, &mut words);
    let len_max = match message {
        Message::Framed { .. } => FRAME_RENDERED_LEN_MAX,
        Message::Help => HELP_LEN_MAX,
        _ => RENDERED_LEN_MAX,
    };
    assert!(words.len() <= len_max, "{dialect} {message:?}");
    let words = str::from_utf8(&words).expect("messages are text");
    terminal::show(words.as_bytes(), false);
    let lines = words.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.for_each(|line| assert!(is_shown(line), "{dialect} {message:?}: {words:?}"));
}

fn draw(decoder: &mut Decoder, bytes: &[u8], sent: &mut Vec<u8>) {
    let mut inputs = 0;
    let before = sent.len();
    decoder.decode(bytes, &mut |input| {
        inputs += 1;
        match input {
            Input::Answer(answer) | Input::Rich { answer, .. } => sent.extend_from_slice(answer),
            Input::Line(line) => assert!(is_line(line), "{line:?}"),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    // Each input draws the line at most twice, and moves over it.
    assert!(sent.len() - before <= (inputs + 1) * (4 * LINE_LEN_MAX + 64), "{}", sent.len());
}

/// The bytes without the commands of telnet, which a client keeps from its terminal.
fn without_telnet(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (255, [250, ..]) => {
                let end = after.windows(2).position(|pair| pair == [255, 240]);
                &after[end.expect("a subnegotiation ends") + 2..]
            }
            (255, [251..=254, _, after @ ..]) => after,
            (255, _) => panic!("a command that is not sent: {}", after.escape_ascii()),
            _ => {
                text.push(byte);
                after
            }
        };
    }
    text
}
