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
        ///
        /// What to do: see whether the client trusts the CA, and the load of the machine.
        AgentHandshake => "agent_handshake",
        /// The agent's ClientHello.
        ///
        /// What to do: find the client that opens connections and sends nothing.
        ClientHello => "client_hello",
        /// The head of a CONNECT request.
        ///
        /// What to do: find the client that opens connections to the CONNECT proxy and sends
        /// nothing.
        ConnectRequest => "connect_request",
        /// Draining at shutdown.
        ///
        /// What to do: raise `timeouts.drain` if long answers are cut off at a restart.
        Drain => "drain",
        /// No byte in either direction.
        ///
        /// What to do: raise `timeouts.idle` if a provider thinks for longer without a byte.
        Idle => "idle",
        /// The head of a request, where requests are forwarded one by one.
        ///
        /// What to do: find the client that begins a request and does not go on.
        RequestHead => "request_head",
        /// TCP connection to the provider.
        ///
        /// What to do: see whether this machine reaches the provider: name resolution, firewall.
        UpstreamConnect => "upstream_connect",
        /// TLS handshake with the provider.
        ///
        /// What to do: see the network to the provider, and proxies between.
        UpstreamHandshake => "upstream_handshake",
    }
}

label! {
    /// Why a connection was refused.
    pub enum RefuseReason {
        /// The handshake with the agent failed.
        ///
        /// What to do: see `gravimeter_tls_handshake_failures_total{side="agent"}`: mostly a client
        /// that does not trust the CA.
        AgentHandshake => "agent_handshake",
        /// The agent went away before the path was open.
        ///
        /// What to do: nothing: the client has closed at once.
        AgentGone => "agent_gone",
        /// What the agent sent is no complete ClientHello, or a malformed one.
        ///
        /// What to do: find the program that speaks something else than TLS on port 443.
        BadHello => "bad_hello",
        /// The CONNECT request is malformed or asks for something else, or a request that would have
        /// been forwarded is malformed or could be understood in two ways.
        ///
        /// What to do: use the CONNECT proxy for HTTPS only: `HTTPS_PROXY`, not `HTTP_PROXY`. Where a
        /// rule is at work, report it with the client.
        BadRequest => "bad_request",
        /// A budget is used up, and stops calls like those that the connection is for.
        ///
        /// What to do: see `gravimeter budget` for which one and until when; `gravimeter budget lift`
        /// lets calls pass for a while.
        Budget => "budget",
        /// The destination is not allowed (loopback, link-local or another address that is not
        /// served).
        ///
        /// What to do: set `capture.allow_private_networks` if the private address is a provider of
        /// yours.
        ForbiddenDestination => "forbidden_destination",
        /// A request to the base-URL door comes from a web page of another site, or may.
        ///
        /// What to do: nothing, if the page is none of yours: it was kept from using your account. A
        /// program must ask for `localhost`, `127.0.0.1` or `[::1]`.
        ForeignSite => "foreign_site",
        /// The destination is Gravimeter itself.
        ///
        /// What to do: remove the redirect rule or proxy variable that leads Gravimeter to itself.
        Loop => "loop",
        /// The kernel knows no original destination: the connection was not redirected.
        ///
        /// What to do: connect to the CONNECT proxy instead, or install the rules: `gravimeter
        /// redirect install`.
        NotRedirected => "not_redirected",
        /// The connection to the CONNECT proxy or the base-URL door belongs to a user of the machine who
        /// is not served.
        ///
        /// What to do: add the user to `capture.connect_users` if its programs are to be counted.
        OtherUser => "other_user",
        /// The limit of connections is reached.
        ///
        /// What to do: raise `capture.max_connections` and the limit of open files.
        Overload => "overload",
        /// Gravimeter is shutting down.
        Shutdown => "shutdown",
        /// A step took too long.
        ///
        /// What to do: see `gravimeter_timeouts_total` for which step.
        Timeout => "timeout",
        /// The kernel names no owner of the connection to the CONNECT proxy or the base-URL door.
        ///
        /// What to do: report it with the kernel version.
        UnknownUser => "unknown_user",
        /// The provider could not be reached.
        ///
        /// What to do: see whether this machine reaches the provider: name resolution, firewall.
        UpstreamConnect => "upstream_connect",
        /// The handshake with the provider failed, or its certificate was refused.
        ///
        /// What to do: see `gravimeter_tls_handshake_failures_total{side="upstream"}`.
        UpstreamHandshake => "upstream_handshake",
    }
}

label! {
    /// Why a connection is passed on without decryption.
    pub enum TunnelReason {
        /// Its ClientHello has an `encrypted_client_hello` extension (ECH), real or as a decoy,
        /// beside a name that is not selected: the name it is for may be another one.
        ///
        /// What to do: switch Encrypted Client Hello off in the client if its calls are missing.
        EncryptedHello => "encrypted_hello",
        /// Its ClientHello names no host.
        ///
        /// What to do: nothing, unless the client calls a provider by its address: use its name.
        NoSni => "no_sni",
        /// No pattern selects its host.
        ///
        /// What to do: add the host to `intercept.hosts` if it is a provider.
        NotSelected => "not_selected",
        /// It is not TLS.
        NotTls => "not_tls",
        /// Its program is none of those that are to be intercepted, or cannot be found.
        OtherProgram => "other_program",
        /// The agent sends nothing: the server may have to send first (SSH, SMTP).
        Silent => "silent",
        /// The client does not trust Gravimeter's CA.
        ///
        /// What to do: make the client trust the CA: the variables of `gravimeter env`, or its own
        /// setting.
        Untrusting => "untrusting",
    }
}

label! {
    /// Why the observer lost the figures of a call or a connection. The traffic itself is never
    /// affected.
    pub enum ObserverFailure {
        /// Decompression passed its budget.
        ///
        /// What to do: report it with the host: the answer unpacks to more than any call has.
        DecodeBudget => "decode_budget",
        /// The content coding is unknown or its data are damaged.
        ///
        /// What to do: report it with the host.
        DecodeError => "decode_error",
        /// A message of an event stream of AWS is damaged.
        ///
        /// What to do: report it with the host.
        EventStreamMalformed => "event_stream_malformed",
        /// The HTTP/1 framing is malformed or ambiguous.
        ///
        /// What to do: report it with the host.
        Http1Malformed => "http1_malformed",
        /// The HTTP/2 framing or header compression is malformed.
        ///
        /// What to do: report it with the host.
        Http2Malformed => "http2_malformed",
        /// A limit of the observer was passed (heads, streams, pipelined requests).
        ///
        /// What to do: report it with the host: heads or streams are larger than any known client
        /// makes them.
        Limit => "limit",
        /// A body that should be JSON is not.
        ///
        /// What to do: report it with the host.
        MalformedJson => "malformed_json",
        /// The memory that observers may use is used up, or the body asks for a larger window than
        /// any provider uses.
        ///
        /// What to do: raise `observe.max_mib`, or run fewer agents at once.
        MemoryBudget => "memory_budget",
        /// The observer panicked.
        ///
        /// What to do: report it with the log: this is a mistake of Gravimeter.
        Panic => "panic",
        /// Reading the connection took more time than its bytes are allowed.
        ///
        /// What to do: see whether the machine is overloaded; report it with the host if not.
        TimeBudget => "time_budget",
        /// The bytes are of a protocol that Gravimeter does not read.
        ///
        /// What to do: report it with the host.
        UnknownProtocol => "unknown_protocol",
        /// What follows an upgrade to WebSocket is no WebSocket, or compressed in another way than
        /// was agreed on.
        ///
        /// What to do: report it with the host.
        WebSocketMalformed => "websocket_malformed",
    }
}

label! {
    /// A resource that observing may only use so much of, so that it can neither delay the traffic
    /// nor use up the memory.
    pub enum ObserverBudget {
        /// Memory of all observers together.
        ///
        /// What to do: raise `observe.max_mib`, or run fewer agents at once.
        Memory => "memory",
        /// Processor time of one connection, by its bytes.
        ///
        /// What to do: see whether the machine is overloaded; report it with the host if not.
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
        ///
        /// What to do: look at the agent's words, which are in the log.
        Failed => "failed",
        /// A signal ended it.
        ///
        /// What to do: see who sent the signal: the kernel's out-of-memory killer, or a person.
        Killed => "killed",
        /// It could not be started.
        ///
        /// What to do: check `agent.command` and `agent.user` with `gravimeter doctor`.
        SpawnFailed => "spawn_failed",
    }
}
