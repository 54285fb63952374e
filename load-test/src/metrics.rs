//! What chatd counts, as its admin endpoint tells it.

use crate::limits::{ADMIN_ANSWER_LEN_MAX, ADMIN_ANSWER_TIMEOUT};
use crate::{Failure, failed};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One answer.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn read(admin: SocketAddr) -> Result<Self, Failure> {
        get(admin).map(Self).map_err(|error| failed("reading the metrics", &error))
    }

    /// The value of one without labels.
    pub(crate) fn value(&self, name: &str) -> Result<u64, Failure> {
        let after_name = |line| str::strip_prefix(line, name)?.strip_prefix(' ');
        let value = self.0.lines().find_map(after_name).and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| Failure::Run(format!("the metrics have no {name}")))
    }

    /// The sum over all labels.
    pub(crate) fn sum(&self, name: &str) -> Result<u64, Failure> {
        let labelled = |line| str::strip_prefix(line, name)?.strip_prefix('{');
        let values = self.0.lines().filter_map(labelled).map(|line| {
            let (_, value) = line.rsplit_once(' ')?;
            value.trim().parse::<u64>().ok()
        });
        let sum = values.reduce(|sum, value| sum?.checked_add(value?)).flatten();
        sum.ok_or_else(|| Failure::Run(format!("the metrics have no {name} with labels")))
    }
}

fn get(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN_ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ADMIN_ANSWER_TIMEOUT))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ADMIN_ANSWER_LEN_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_an_answer() {
        let answer = "HTTP/1.1 200 OK\r\n\r\n# HELP chatd_x Words\nchatd_x_total_more 3\n\
            chatd_x_total 17\nchatd_y_total{a=\"b\"} 4\nchatd_y_total{a=\"c d\"} 5\n# EOF\n";
        let metrics = Metrics(answer.into());
        let rows = [
            ("chatd_x_total", Some(17), None),
            ("chatd_x", None, None),
            ("chatd_x_total_more", Some(3), None),
            ("chatd_y_total", None, Some(9)),
        ];
        for (name, value, sum) in rows {
            assert_eq!((metrics.value(name).ok(), metrics.sum(name).ok()), (value, sum), "{name}");
        }
    }
}
