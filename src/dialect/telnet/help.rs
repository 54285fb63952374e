//! What people are told about the commands.

use std::io::Write;

use crate::dialect::words::put;
use crate::limits::REMARK_LEN_MAX;

/// The list of commands, CR LF at each line's end.
pub(super) const LIST: &str = "\
Commands:\r
  /help [COMMAND]  this list, or more about a command\r
  /nick NAME       take a nickname (also /login NAME)\r
  /join ROOM       go to a room; it is made if there is none of that name\r
  /leave           go back to the lobby (also /back)\r
  /ROOM            go to a room that is always there, such as /lobby\r
  /rooms           list the rooms\r
  /who [ROOM]      list who is in your room, or in another (also /online)\r
  /whois NAME      tell where somebody is\r
  /msg NAME TEXT   write to one person only\r
  /reply TEXT      write to the one who wrote to you last\r
  /ignore [NAME]   hear nothing of somebody (undo: /unignore), or list whom\r
  /me TEXT         tell what you do: * plato TEXT\r
  /topic [TEXT]    tell what your room is about, or say what from now on\r
  /history         show the last lines of your room\r
  /time on|off     begin each line you get with the time\r
  /away [TEXT]     be marked away until you say something (or /here)\r
  /motd            show the message of the day\r
  /rich on|off     edit your line on the server, under what arrives\r
  /quit            end the connection (also /logout)\r
Everything else goes to the others in your room.\r
To begin a line with a slash, write two: //like this\r
";

/// More about each command, by its word.
const MORE: [(&str, &str); 25] = [
    ("/help", "lists the commands, or tells about one, as this does"),
    (
        "/nick",
        "gives you a nickname: letters, digits, - and _. It is yours until you leave or take \
         another; upper and lower case count as the same",
    ),
    ("/login", "as /nick, and lists the commands"),
    (
        "/join",
        "takes you to a room, out of the one you are in. A room is there as long as somebody is \
         in it",
    ),
    ("/leave", "takes you to the lobby"),
    ("/back", "as /leave"),
    (
        "/ROOM",
        "with the name of a room that is always there, as in /lobby, takes you to it. /join shows \
         its last lines too",
    ),
    ("/rooms", "lists the rooms, with how many are in each and what it is about"),
    ("/who", "lists who is in your room, or in the one you name, and who of them is away"),
    ("/online", "as /who"),
    ("/msg", "writes to one person, who need not be in your room. Nobody else reads it"),
    ("/reply", "writes to the one whose direct message was the last you got"),
    ("/whois", "tells in which room somebody is, and whether they are away"),
    ("/me", "tells the others in your room what you do: /me waves comes out as * plato waves"),
    (
        "/topic",
        "tells what your room is about. With a text, everybody in the room is told that it is \
         about that from now on; with - it is about nothing any more. Whoever comes is told",
    ),
    (
        "/ignore",
        "keeps from you what somebody says and does in rooms, under whatever name, and refuses \
         what they write to you alone, which they are told. It ends with /unignore, or when either \
         of you leaves. Without a name it lists whom you ignore",
    ),
    ("/unignore", "undoes /ignore"),
    (
        "/history",
        "shows the last lines of your room, with their times in UTC. /join shows them too, unless \
         you said /history off",
    ),
    ("/time", "begins each line you get with the time it came, in UTC, or no longer"),
    (
        "/away",
        "marks you away, with a reason if you like. Who writes to you is told once. You are back \
         when you say something, or with /here",
    ),
    ("/here", "takes the mark away that /away made"),
    ("/motd", "shows what the operator has to say to everybody"),
    (
        "/rich",
        "has the server edit the line you type, with arrows and lines called back, so that what \
         arrives never touches it. For telnet, PuTTY and others that can; MUD clients edit lines \
         themselves",
    ),
    ("/quit", "ends the connection"),
    ("/logout", "as /quit"),
];

/// Appends what is known about the command that is written like that, as one line without its end.
pub(super) fn write(form: &str, out: &mut Vec<u8>) {
    let word = form.split(' ').next().unwrap_or_default();
    let more = MORE.iter().find(|(known, _)| *known == word).map_or("", |(_, more)| more);
    put!(out, "{form}: {more}");
    if ["/topic", "/away"].contains(&word) {
        put!(out, ". At most {REMARK_LEN_MAX} bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::command_forms;
    use crate::limits::HELP_LEN_MAX;

    #[test]
    fn the_list_fits_a_screen() {
        assert!(LIST.len() <= HELP_LEN_MAX);
        assert!(LIST.ends_with("\r\n"));
        assert!(LIST.matches('\n').count() <= 24);
        for words in LIST.split_terminator("\r\n") {
            assert!(!words.contains(['\r', '\n']) && words.len() <= 78, "{words:?}");
        }
    }

    #[test]
    fn every_command_is_listed_and_told_about() {
        assert_eq!(command_forms().count(), MORE.len());
        let listed: Vec<_> = LIST.split([' ', '\r', ')']).collect();
        for form in command_forms() {
            let word = form.split(' ').next().expect("a slash and a word");
            assert!(listed.contains(&word), "{form} is not in the list");
            let mut out = Vec::new();
            write(form, &mut out);
            let told = String::from_utf8(out).expect("text");
            assert!(told.starts_with(form) && told.len() > form.len() + 5, "{told:?}");
        }
    }
}
