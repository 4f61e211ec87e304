//! What happens to connections, bytes, the redirect and the agent's process.

use super::label::label;

label! {
    /// What was done with a connection.
    pub enum Disposition {
        /// Decrypted and observed.
        Intercepted => "intercepted",
        /// Ended by Gravimeter before any byte was passed.
        Refused => "refused",
        /// Passed on without decryption.
        Tunnelled => "tunnelled",
    }
}

label! {
    /// Which way bytes went, seen from the agent.
    pub enum ByteDirection {
        /// From the provider to the agent.
        Received => "received",
        /// From the agent to the provider.
        Sent => "sent",
    }
}

label! {
    /// IP family of a redirect rule.
    pub enum IpFamily {
        /// IPv4.
        Ipv4 => "ipv4",
        /// IPv6.
        Ipv6 => "ipv6",
    }
}

label! {
    /// Steps of a connection that have a limit in time.
    pub enum TimeoutStep {
        /// TLS handshake with the agent.
        AgentHandshake => "agent_handshake",
        /// The agent's ClientHello.
        ClientHello => "client_hello",
        /// The head of a CONNECT request.
        ConnectRequest => "connect_request",
        /// Draining at shutdown.
        Drain => "drain",
        /// No byte in either direction.
        Idle => "idle",
        /// TCP connection to the provider.
        UpstreamConnect => "upstream_connect",
        /// TLS handshake with the provider.
        UpstreamHandshake => "upstream_handshake",
    }
}

label! {
    /// Why a connection was refused.
    pub enum RefuseReason {
        /// The handshake with the agent failed.
        AgentHandshake => "agent_handshake",
        /// The agent went away before the path was open.
        AgentGone => "agent_gone",
        /// What the agent sent is no complete ClientHello, or a malformed one.
        BadHello => "bad_hello",
        /// The CONNECT request is malformed or asks for something else.
        BadRequest => "bad_request",
        /// The destination is not allowed (loopback, link-local or another address that is not
        /// served).
        ForbiddenDestination => "forbidden_destination",
        /// The destination is Gravimeter itself.
        Loop => "loop",
        /// The kernel knows no original destination: the connection was not redirected.
        NotRedirected => "not_redirected",
        /// The connection to the CONNECT proxy belongs to a user of the machine who is not served.
        OtherUser => "other_user",
        /// The limit of connections is reached.
        Overload => "overload",
        /// Gravimeter is shutting down.
        Shutdown => "shutdown",
        /// A step took too long.
        Timeout => "timeout",
        /// The kernel names no owner of the connection to the CONNECT proxy.
        UnknownUser => "unknown_user",
        /// The provider could not be reached.
        UpstreamConnect => "upstream_connect",
        /// The handshake with the provider failed, or its certificate was refused.
        UpstreamHandshake => "upstream_handshake",
    }
}

label! {
    /// Why a connection is passed on without decryption.
    pub enum TunnelReason {
        /// Its ClientHello has an `encrypted_client_hello` extension (ECH), real or as a decoy,
        /// beside a name that is not selected: the name it is for may be another one.
        EncryptedHello => "encrypted_hello",
        /// Its ClientHello names no host.
        NoSni => "no_sni",
        /// No pattern selects its host.
        NotSelected => "not_selected",
        /// It is not TLS.
        NotTls => "not_tls",
        /// The agent sends nothing: the server may have to send first (SSH, SMTP).
        Silent => "silent",
        /// The client does not trust Gravimeter's CA.
        Untrusting => "untrusting",
    }
}

label! {
    /// Why the observer lost the figures of a call or a connection. The traffic itself is never
    /// affected.
    pub enum ObserverFailure {
        /// Decompression passed its budget.
        DecodeBudget => "decode_budget",
        /// The content coding is unknown or its data are damaged.
        DecodeError => "decode_error",
        /// A message of an event stream of AWS is damaged.
        EventStreamMalformed => "event_stream_malformed",
        /// The HTTP/1 framing is malformed or ambiguous.
        Http1Malformed => "http1_malformed",
        /// The HTTP/2 framing or header compression is malformed.
        Http2Malformed => "http2_malformed",
        /// A limit of the observer was passed (heads, streams, pipelined requests).
        Limit => "limit",
        /// A body that should be JSON is not.
        MalformedJson => "malformed_json",
        /// The memory that observers may use is used up, or the body asks for a larger window than
        /// any provider uses.
        MemoryBudget => "memory_budget",
        /// The observer panicked.
        Panic => "panic",
        /// Reading the connection took more time than its bytes are allowed.
        TimeBudget => "time_budget",
        /// The bytes are of a protocol that Gravimeter does not read.
        UnknownProtocol => "unknown_protocol",
        /// What follows an upgrade to WebSocket is no WebSocket, or compressed in another way than
        /// was agreed on.
        WebSocketMalformed => "websocket_malformed",
    }
}

label! {
    /// A resource that observing may only use so much of, so that it can neither delay the traffic
    /// nor use up the memory.
    pub enum ObserverBudget {
        /// Memory of all observers together.
        Memory => "memory",
        /// Processor time of one connection, by its bytes.
        Time => "time",
    }
}

impl ObserverFailure {
    /// The budget that was passed, where that is why.
    #[must_use]
    pub fn budget(self) -> Option<ObserverBudget> {
        match self {
            Self::MemoryBudget => Some(ObserverBudget::Memory),
            Self::TimeBudget => Some(ObserverBudget::Time),
            Self::DecodeBudget
            | Self::DecodeError
            | Self::EventStreamMalformed
            | Self::Http1Malformed
            | Self::Http2Malformed
            | Self::Limit
            | Self::MalformedJson
            | Self::Panic
            | Self::UnknownProtocol
            | Self::WebSocketMalformed => None,
        }
    }
}

label! {
    /// Why the agent was started again.
    pub enum RestartReason {
        /// It ended with status 0.
        Exited => "exited",
        /// It ended with another status.
        Failed => "failed",
        /// A signal ended it.
        Killed => "killed",
        /// It could not be started.
        SpawnFailed => "spawn_failed",
    }
}
