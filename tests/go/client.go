// Command client is a stranger's view of Gravimeter: an HTTPS client with nothing but Go's standard library, which is
// what the observed language server is built on.
//
// It trusts what SSL_CERT_FILE names (crypto/x509 reads it) and obeys no other variable, posts -n bodies one after the
// other, reads each answer to its end and prints one line of JSON for each. The exit code is 0 if every answer came
// whole, had a status below 400 and, where the demo provider announced a hash, had that hash.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	url     string
	connect string
	proxy   string
	http2   bool
	count   int
	chunked bool
	gzip    string
	body    string
	timeout time.Duration
}

// result is what came of one request. Bytes and SHA256 are of the body as read, which is the decoded one if the
// transport took care of gzip.
type result struct {
	Status       int    `json:"status"`
	Proto        string `json:"proto"`
	ALPN         string `json:"alpn"`
	TLS          string `json:"tls"`
	Reused       bool   `json:"reused"`
	Uncompressed bool   `json:"uncompressed"`
	Bytes        int    `json:"bytes"`
	SHA256       string `json:"sha256"`
	Announced    string `json:"announced,omitempty"`
	Error        string `json:"error,omitempty"`
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "https://daily-cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse", "what to post to")
	flag.StringVar(&o.connect, "connect", "", "connect to this `address` instead of resolving the host of -url")
	flag.StringVar(&o.proxy, "proxy", "", "go through this HTTP proxy `address` with CONNECT")
	flag.BoolVar(&o.http2, "http2", true, "offer HTTP/2")
	flag.IntVar(&o.count, "n", 1, "how many `requests`")
	flag.BoolVar(&o.chunked, "chunked", false, "send the body without Content-Length")
	flag.StringVar(&o.gzip, "gzip", "transport", "`who` asks for gzip: transport (and decodes it), explicit (kept coded), none")
	flag.StringVar(&o.body, "body", `{"model":"gemini-3.1-pro-low","request":{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}}`, "the `JSON` to post")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "for each request")
	flag.Parse()

	client := &http.Client{Transport: o.transport(), Timeout: o.timeout}
	failed := false
	out := json.NewEncoder(os.Stdout)
	for i := 0; i < o.count; i++ {
		r := o.post(client)
		failed = failed || !r.ok()
		if err := out.Encode(r); err != nil {
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// transport dials -connect and -proxy only; the environment's proxy variables are ignored, as the language server does.
func (o options) transport() *http.Transport {
	t := &http.Transport{
		ForceAttemptHTTP2:  o.http2,
		DisableCompression: o.gzip != "transport",
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if !o.http2 {
		// A non-nil map is how the transport is told not to negotiate HTTP/2.
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if o.proxy != "" {
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: o.proxy})
	}
	if o.connect != "" {
		var dialer net.Dialer
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, o.connect)
		}
	}
	return t
}

func (o options) post(client *http.Client) (r result) {
	request, err := http.NewRequest(http.MethodPost, o.url, o.reader())
	if err != nil {
		return result{Error: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "antigravity/1.19.6 linux/amd64")
	sum := sha256.Sum256([]byte(o.body))
	request.Header.Set("X-Demo-Sha256", hex.EncodeToString(sum[:]))
	if o.gzip == "explicit" {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return result{Error: err.Error()}
	}
	defer response.Body.Close()

	hash := sha256.New()
	n, err := io.Copy(hash, response.Body)
	r = result{
		Status:       response.StatusCode,
		Proto:        response.Proto,
		Reused:       reused,
		Uncompressed: response.Uncompressed,
		Bytes:        int(n),
		SHA256:       hex.EncodeToString(hash.Sum(nil)),
		Announced:    response.Header.Get("X-Demo-Sha256"),
	}
	if err != nil {
		r.Error = err.Error()
	}
	if state := response.TLS; state != nil {
		r.ALPN, r.TLS = state.NegotiatedProtocol, version(state.Version)
	}
	return r
}

// reader hides the body's length from net/http when it is to be sent in chunks.
func (o options) reader() io.Reader {
	if !o.chunked {
		return bytes.NewReader([]byte(o.body))
	}
	reader, writer := io.Pipe()
	go func() {
		_, err := io.Copy(writer, strings.NewReader(o.body))
		writer.CloseWithError(err)
	}()
	return reader
}

// ok says whether the answer is whole. The announced hash is of the coded body: the decoded one cannot be compared.
func (r result) ok() bool {
	intact := r.Announced == "" || r.Uncompressed || r.Announced == r.SHA256
	return r.Error == "" && r.Status < 400 && intact
}

func version(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return fmt.Sprintf("%#04x", v)
}
