//! Clients join one room one after the other, and what the server delivers meanwhile is counted:
//! its welcomes and answers, and the notices of who came. Each client must cost the same in a large
//! room as in a small one.

use super::table::{Figure, Sample};
use super::{Bench, Preset, Side};
use crate::metrics::Metrics;
use crate::server::Server;
use crate::{Failure, Session};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The parts of all clients that join in the three runs.
const PARTS: [u32; 3] = [4, 2, 1];
/// Notices may come a second late: the count is complete when it has not changed for longer.
const SETTLED: Duration = Duration::from_millis(1500);
const SETTLED_INTERVAL: Duration = Duration::from_millis(100);
const SETTLED_TIMEOUT: Duration = Duration::from_secs(30);

/// How many join in each run.
pub(super) fn sizes(clients: u32) -> [u32; 3] {
    PARTS.map(|part| (clients / part).max(1))
}

/// What the figure of a run is called.
pub(super) fn figure_name(clients: u32) -> String {
    format!("deliveries a client, {clients}")
}

impl Bench<'_> {
    pub(super) fn joins(&self) -> Result<Sample, Failure> {
        let scenario = self.scenario(Preset::Joins, Side::Chatd);
        let mut sample = Sample::default();
        for clients in sizes(scenario.groups[0].clients) {
            let mut scenario = scenario.clone();
            scenario.groups[0].clients = clients;
            scenario.connect.in_flight = 1;
            let server = self.start(Side::Chatd, 1, &["--admin", "127.0.0.1:0"])?;
            let admin = server.await_admin()?;
            let before = deliveries(admin)?;
            let session = Session::connect(scenario, server.addr())?;
            let made = settled_deliveries(admin)? - before;
            let seconds = session.connect_total_s();
            end(session, server)?;
            let name = figure_name(clients);
            sample.figures.push(Figure::new(&name, "", made as f64 / f64::from(clients)));
            let name = format!("all joined, {clients}");
            sample.figures.push(Figure::new(&name, "s", seconds));
        }
        Ok(sample)
    }
}

fn end(session: Session, server: Server) -> Result<(), Failure> {
    drop(session);
    server.stop()
}

/// The count when it has stood still for a while.
fn settled_deliveries(admin: SocketAddr) -> Result<u64, Failure> {
    let end = Instant::now() + SETTLED_TIMEOUT;
    let (mut count, mut since) = (deliveries(admin)?, Instant::now());
    while since.elapsed() < SETTLED && Instant::now() < end {
        std::thread::sleep(SETTLED_INTERVAL);
        let now = deliveries(admin)?;
        if now != count {
            (count, since) = (now, Instant::now());
        }
    }
    Ok(count)
}

fn deliveries(admin: SocketAddr) -> Result<u64, Failure> {
    Metrics::read(admin)?.value("chatd_deliveries_total")
}
