use core::time::Duration;

/// What a queue holds and did, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that are neither acknowledged nor lost, leased ones included; in a queue of
    /// [cursors only](crate::Consumers::CursorsOnly), those that the last of them has not passed.
    pub depth: u64,
    /// How long ago the oldest of them was appended, by the queue's own clock: at the most, and as far as is known. After a
    /// crash that clock lacks what passed since it was saved last: up to a sixteenth of the opening where ages are limited,
    /// otherwise up to all of it.
    pub oldest_age: Option<Duration>,
    /// Messages that are leased now.
    pub leased: u64,
    /// Messages whose delay has not passed, whether they were appended or released with it.
    pub delayed: u64,
    /// Messages that the storage failed to read: they are kept, held aside, and tried again one at a time, after pauses of 1
    /// to 60 seconds.
    pub unread: u64,
    /// Dead letters that wait for a decision.
    pub dead: u64,
    /// Messages appended since the queue was opened.
    pub appended: u64,
    /// Octets of the payloads of those.
    pub appended_octets: u64,
    /// Messages acknowledged since the queue was opened.
    pub acknowledged: u64,
    /// Times that a message was handed out since the queue was opened.
    pub attempts: u64,
    /// Messages that became dead letters since the queue was opened.
    pub dead_lettered: u64,
    /// Messages whose time to live ended, over the whole life of the queue.
    pub expired: u64,
    /// Messages that were not appended since the queue was opened, because they had been before.
    pub duplicates: u64,
    /// Feeds of sources that were forgotten since the queue was opened to remember others; see
    /// [`QueueConfig::deduplicate_positions`](crate::QueueConfig::deduplicate_positions).
    pub sources_forgotten: u64,
    /// Messages of which a lease, a release or a death is not saved, for want of room or because no commit was asked for
    /// since: a crash takes that back. And cursors whose place is not saved.
    pub unsaved: u64,
    /// Cursors that there are.
    pub cursors: u32,
    /// How many places the last of them is behind the end of the log.
    pub cursor_lag: u64,
    /// Messages that cursors were moved past since the queue was opened, because they stayed too far behind: each counted
    /// once for each cursor.
    pub passed_over: u64,
    /// Messages that were dropped to make room since the queue was opened.
    pub dropped: u64,
    /// Messages of the segments in use that cannot be given: what was damaged, and what expired. See
    /// [`Queue::gaps`](crate::Queue::gaps).
    pub gaps: u64,
    /// Messages that were waiting when the queue was opened.
    pub recovered: u64,
    /// Messages that were found damaged or torn, when the queue was opened and since. What expired or was dropped is not
    /// among them.
    pub quarantined: u64,
    /// Segments found at opening that hold something and say nothing about what it is; all their messages are lost.
    pub unreadable_segments: u64,
    /// Octets of a torn record that opening cut off the end of the log.
    pub cut: u64,
    /// Octets of the records in segments that are in use, acknowledged ones included.
    pub octets: u64,
    /// Octets of all segments together.
    pub budget: u64,
    /// Segments that are in use.
    pub segments_used: u32,
    /// Segments that there are.
    pub segments: u32,
    /// Syncs since the queue was opened.
    pub syncs: u64,
    /// Messages that were moved since the queue was opened, so that the segments that held them could be used again.
    pub moved: u64,
    /// Octets handed to the storage since the queue was opened, headers and footers included.
    pub written: u64,
}

impl Stats {
    /// How many octets were handed to the storage for each octet of a payload that was appended, since the queue was
    /// opened: records, pages, headers, footers, acknowledgements and leases. Nothing before the first. What the medium
    /// writes beyond what it is handed, a file system's journal for example, only the medium knows.
    pub fn write_amplification(&self) -> Option<f64> {
        (self.appended_octets > 0).then(|| self.written as f64 / self.appended_octets as f64)
    }

    /// Hands the numbers to the recorder of the crate `metrics`, under the label `queue`: to be called as often as they are
    /// to be seen. What counts from the opening on is a counter, everything else a gauge; an age that is not known is left
    /// out.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self, queue: &str) {
        let label = || std::string::String::from(queue);
        let gauges = [
            ("iot_queue_depth", Some(self.depth as f64)),
            ("iot_queue_oldest_age_seconds", self.oldest_age.map(|age| age.as_secs_f64())),
            ("iot_queue_leased", Some(self.leased as f64)),
            ("iot_queue_delayed", Some(self.delayed as f64)),
            ("iot_queue_unread", Some(self.unread as f64)),
            ("iot_queue_dead", Some(self.dead as f64)),
            ("iot_queue_cursor_lag", Some(self.cursor_lag as f64)),
            ("iot_queue_gaps", Some(self.gaps as f64)),
            ("iot_queue_unsaved", Some(self.unsaved as f64)),
            ("iot_queue_unreadable_segments", Some(self.unreadable_segments as f64)),
            ("iot_queue_octets", Some(self.octets as f64)),
            ("iot_queue_budget_octets", Some(self.budget as f64)),
            ("iot_queue_write_amplification", self.write_amplification()),
        ];
        for (name, value) in gauges.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            metrics::gauge!(name, "queue" => label()).set(value);
        }
        let counters = [
            ("iot_queue_appended_total", self.appended),
            ("iot_queue_acknowledged_total", self.acknowledged),
            ("iot_queue_attempts_total", self.attempts),
            ("iot_queue_dead_lettered_total", self.dead_lettered),
            ("iot_queue_dropped_total", self.dropped),
            ("iot_queue_duplicates_total", self.duplicates),
            ("iot_queue_expired_total", self.expired),
            ("iot_queue_passed_over_total", self.passed_over),
            ("iot_queue_quarantined_total", self.quarantined),
            ("iot_queue_syncs_total", self.syncs),
            ("iot_queue_moved_total", self.moved),
            ("iot_queue_written_octets_total", self.written),
        ];
        for (name, value) in counters {
            metrics::counter!(name, "queue" => label()).absolute(value);
        }
    }
}
