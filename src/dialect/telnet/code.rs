//! The bytes of telnet (RFC 854 and its options).

pub(super) const SE: u8 = 240;
pub(super) const BRK: u8 = 243;
pub(super) const IP: u8 = 244;
pub(super) const AYT: u8 = 246;
pub(super) const EC: u8 = 247;
pub(super) const EL: u8 = 248;
pub(super) const SB: u8 = 250;
pub(super) const WILL: u8 = 251;
pub(super) const WONT: u8 = 252;
pub(super) const DO: u8 = 253;
pub(super) const DONT: u8 = 254;
pub(super) const IAC: u8 = 255;

/// Who echoes what is typed (RFC 857).
pub(super) const ECHO: u8 = 1;
/// Suppress go-ahead (RFC 858). With ECHO, clients send each key as it is typed.
pub(super) const SGA: u8 = 3;
/// The terminal's type (RFC 1091); MUD clients say more with it (MTTS).
pub(super) const TTYPE: u8 = 24;
/// The window's size (RFC 1073).
pub(super) const NAWS: u8 = 31;
/// The character set (RFC 2066).
pub(super) const CHARSET: u8 = 42;

/// Options that nobody has but MUD clients: MSDP, MSSP, MCCP 1 to 3, MSP, MXP, ZMP, Aardwolf's,
/// ATCP and GMCP.
pub(super) const MUD_OPTIONS: [u8; 11] = [69, 70, 85, 86, 87, 90, 91, 93, 102, 200, 201];
