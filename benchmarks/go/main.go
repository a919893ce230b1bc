// Command bench measures the locks of etcd's own Go client, for comparison on the same server in the same run.
//
//	bench hand-off -endpoint E -name N -sessions S -clients one|each -seconds D [-warm-up D]
//	bench election -endpoint E -name N -sessions S -clients one|each -seconds D [-warm-up D]
//	bench lock     -endpoint E -name N -in-flight K -seconds D [-warm-up D]
//	bench stm      -endpoint E -name N -in-flight K -keys one|each -seconds D [-warm-up D]
//	bench serve    one JSON object per line on stdin, one result per line on stdout:
//	               {"cmd":"hand-off","endpoint":E,"name":N,"sessions":S,"clients":"one","seconds":D,"warmUp":D}
//	               {"cmd":"lock","endpoint":E,"name":N,"inFlight":K,"seconds":D,"warmUp":D}
//
// Serving keeps its connections, so rounds that alternate with another program do not pay for dialling.
// A result is one JSON object; a failure is {"error":"..."}.
//
// Built like test/interop/go: GO111MODULE=off GOPATH=/usr/share/gocode go build -o bin/bench main.go
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	recipe "go.etcd.io/etcd/contrib/recipes"
	"go.uber.org/zap"
)

type job struct {
	Command  string  `json:"cmd"`
	Endpoint string  `json:"endpoint"`
	Name     string  `json:"name"`
	Sessions int     `json:"sessions"`
	Clients  string  `json:"clients"`
	InFlight int     `json:"inFlight"`
	Keys     string  `json:"keys"`
	Seconds  float64 `json:"seconds"`
	WarmUp   float64 `json:"warmUp"`
}

// defaults hold for whatever a command line or a line of JSON leaves out.
func defaults() job {
	return job{
		Endpoint: "127.0.0.1:2379",
		Name:     "bench",
		Sessions: 2,
		Clients:  "one",
		InFlight: 1,
		Keys:     "each",
		Seconds:  5,
		WarmUp:   1,
	}
}

type handOffResult struct {
	HandOffs int     `json:"handOffs"`
	Seconds  float64 `json:"seconds"`
	P50Ms    float64 `json:"p50Ms"`
	P99Ms    float64 `json:"p99Ms"`
}

type lockResult struct {
	Locks   int     `json:"locks"`
	Seconds float64 `json:"seconds"`
	P50Ms   float64 `json:"p50Ms"`
	P99Ms   float64 `json:"p99Ms"`
}

type stmResult struct {
	Transactions int     `json:"transactions"`
	Seconds      float64 `json:"seconds"`
	P50Ms        float64 `json:"p50Ms"`
	P99Ms        float64 `json:"p99Ms"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: bench hand-off | election | lock | stm | serve [flags]")
		os.Exit(2)
	}
	bench := &bench{shared: map[string]*clientv3.Client{}}
	defer bench.close()
	if os.Args[1] == "serve" {
		bench.serve()
		return
	}
	result, err := bench.run(parse(os.Args[1], os.Args[2:]))
	report(result, err)
	if err != nil {
		bench.close()
		os.Exit(1)
	}
}

func parse(command string, arguments []string) job {
	j := defaults()
	j.Command = command
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	flags.StringVar(&j.Endpoint, "endpoint", j.Endpoint, "host:port, several with commas between")
	flags.StringVar(&j.Name, "name", j.Name, "of the lock, or what the names of the locks begin with")
	flags.IntVar(&j.Sessions, "sessions", j.Sessions, "how many contend for one lock")
	flags.StringVar(&j.Clients, "clients", j.Clients, "one client for all sessions, or each its own")
	flags.IntVar(&j.InFlight, "in-flight", j.InFlight, "how many locks are worked on at a time")
	flags.StringVar(&j.Keys, "keys", j.Keys, "one key for all transactions, or each worker its own")
	flags.Float64Var(&j.Seconds, "seconds", j.Seconds, "measured time")
	flags.Float64Var(&j.WarmUp, "warm-up", j.WarmUp, "seconds before measuring")
	flags.Parse(arguments)
	return j
}

// bench keeps one client per endpoint list between jobs.
type bench struct {
	shared map[string]*clientv3.Client
}

func (b *bench) serve() {
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		if strings.TrimSpace(scanner.Text()) == "" {
			continue
		}
		j := defaults()
		if err := json.Unmarshal(scanner.Bytes(), &j); err != nil {
			report(nil, err)
			continue
		}
		report(b.run(j))
	}
}

func (b *bench) run(j job) (interface{}, error) {
	switch j.Command {
	case "hand-off", "election", "write-lock":
		return b.handOff(j)
	case "lock", "read-lock":
		return b.lock(j)
	case "stm":
		return b.stm(j)
	default:
		return nil, fmt.Errorf("no such command: %q", j.Command)
	}
}

// handOff lets every session lock and unlock one name in a loop, or be elected and resign, holding for no time. The
// time of a hand-off runs from just before the owner calls Unlock or Resign until the next owner's Lock or Campaign
// has returned.
func (b *bench) handOff(j job) (interface{}, error) {
	if j.Clients != "one" && j.Clients != "each" {
		return nil, fmt.Errorf("clients is one or each, not %q", j.Clients)
	}
	var sessions []*concurrency.Session
	defer func() {
		for _, session := range sessions {
			session.Close()
			if j.Clients == "each" {
				session.Client().Close()
			}
		}
	}()
	for len(sessions) < j.Sessions {
		client, err := b.clientFor(j)
		if err != nil {
			return nil, err
		}
		session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, session)
	}

	window := startWindow(j)
	// Written and read by owners only, but the order between them is made by etcd, which Go cannot see.
	var releasedAt, lastOwner int64
	samples, err := eachOf(j.Sessions, func(worker int, sample func(time.Duration)) error {
		take, leave := turns(j, sessions[worker])
		for {
			if err := take(); err != nil {
				return err
			}
			now := time.Since(window.origin)
			released := time.Duration(atomic.LoadInt64(&releasedAt))
			changedHands := atomic.SwapInt64(&lastOwner, int64(worker+1)) != int64(worker+1)
			if changedHands && released > 0 && window.contains(now) {
				sample(now - released)
			}
			atomic.StoreInt64(&releasedAt, int64(time.Since(window.origin)))
			if err := leave(); err != nil {
				return err
			}
			if window.isOver(now) {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return handOffResult{len(samples), j.Seconds, percentile(samples, 50), percentile(samples, 99)}, nil
}

// turns is how a session takes its turn and gives it up.
func turns(j job, session *concurrency.Session) (take, leave func() error) {
	ctx := context.Background()
	if j.Command == "election" {
		election := concurrency.NewElection(session, j.Name)
		return func() error { return election.Campaign(ctx, "candidate") }, func() error { return election.Resign(ctx) }
	}
	if j.Command == "write-lock" {
		mutex := recipe.NewRWMutex(session, j.Name)
		return mutex.Lock, mutex.Unlock
	}
	mutex := concurrency.NewMutex(session, j.Name)
	return func() error { return mutex.Lock(ctx) }, func() error { return mutex.Unlock(ctx) }
}

// lock works on locks nobody contends for: every worker has a name of its own, all share one session.
func (b *bench) lock(j job) (interface{}, error) {
	client, err := b.sharedClient(j.Endpoint)
	if err != nil {
		return nil, err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	if err != nil {
		return nil, err
	}
	defer session.Close()

	window := startWindow(j)
	samples, err := eachOf(j.InFlight, func(worker int, sample func(time.Duration)) error {
		take, leave := freeLock(j, session, j.Name+"-"+strconv.Itoa(worker))
		for {
			began := time.Since(window.origin)
			if err := take(); err != nil {
				return err
			}
			if err := leave(); err != nil {
				return err
			}
			ended := time.Since(window.origin)
			if window.contains(ended) {
				sample(ended - began)
			}
			if window.isOver(ended) {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return lockResult{len(samples), j.Seconds, percentile(samples, 50), percentile(samples, 99)}, nil
}

// freeLock is how a lock nobody contends for is taken and left: to write, or to read.
func freeLock(j job, session *concurrency.Session, name string) (take, leave func() error) {
	if j.Command == "read-lock" {
		mutex := recipe.NewRWMutex(session, name)
		return mutex.RLock, mutex.RUnlock
	}
	ctx := context.Background()
	mutex := concurrency.NewMutex(session, name)
	return func() error { return mutex.Lock(ctx) }, func() error { return mutex.Unlock(ctx) }
}

// stm counts in transactions: every worker a key of its own, or all of them one.
func (b *bench) stm(j job) (interface{}, error) {
	if j.Keys != "one" && j.Keys != "each" {
		return nil, fmt.Errorf("keys is one or each, not %q", j.Keys)
	}
	client, err := b.sharedClient(j.Endpoint)
	if err != nil {
		return nil, err
	}
	window := startWindow(j)
	samples, err := eachOf(j.InFlight, func(worker int, sample func(time.Duration)) error {
		key := j.Name
		if j.Keys == "each" {
			key += "-" + strconv.Itoa(worker)
		}
		for {
			began := time.Since(window.origin)
			_, err := concurrency.NewSTM(client, func(tx concurrency.STM) error {
				number, _ := strconv.Atoi(tx.Get(key))
				tx.Put(key, strconv.Itoa(number+1))
				return nil
			})
			if err != nil {
				return err
			}
			ended := time.Since(window.origin)
			if window.contains(ended) {
				sample(ended - began)
			}
			if window.isOver(ended) {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return stmResult{len(samples), j.Seconds, percentile(samples, 50), percentile(samples, 99)}, nil
}

func (b *bench) clientFor(j job) (*clientv3.Client, error) {
	if j.Clients == "each" {
		return dial(j.Endpoint)
	}
	return b.sharedClient(j.Endpoint)
}

func (b *bench) sharedClient(endpoint string) (*clientv3.Client, error) {
	if client, found := b.shared[endpoint]; found {
		return client, nil
	}
	client, err := dial(endpoint)
	if err == nil {
		b.shared[endpoint] = client
	}
	return client, err
}

func (b *bench) close() {
	for endpoint, client := range b.shared {
		client.Close()
		delete(b.shared, endpoint)
	}
}

func dial(endpoint string) (*clientv3.Client, error) {
	silent := zap.NewProductionConfig()
	silent.Level = zap.NewAtomicLevelAt(zap.FatalLevel)
	return clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(endpoint, ","),
		DialTimeout: 5 * time.Second,
		LogConfig:   &silent,
	})
}

// window is the measured time: it begins when the warm-up is over.
type window struct {
	origin     time.Time
	from, till time.Duration
}

func startWindow(j job) window {
	from := time.Duration(j.WarmUp * float64(time.Second))
	return window{time.Now(), from, from + time.Duration(j.Seconds*float64(time.Second))}
}

func (w window) contains(at time.Duration) bool { return at >= w.from && at < w.till }

func (w window) isOver(at time.Duration) bool { return at >= w.till }

// eachOf runs the workers and joins what they sampled. The first error wins.
func eachOf(workers int, work func(worker int, sample func(time.Duration)) error) ([]time.Duration, error) {
	taken := make([][]time.Duration, workers)
	failed := make([]error, workers)
	var group sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			failed[worker] = work(worker, func(took time.Duration) { taken[worker] = append(taken[worker], took) })
		}(worker)
	}
	group.Wait()
	var samples []time.Duration
	for worker := range taken {
		if failed[worker] != nil {
			return nil, failed[worker]
		}
		samples = append(samples, taken[worker]...)
	}
	sort.Slice(samples, func(i, k int) bool { return samples[i] < samples[k] })
	return samples, nil
}

// percentile of sorted samples, in milliseconds; 0 when there are none.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*percent/100].Seconds() * 1000
}

func report(result interface{}, err error) {
	if err != nil {
		result = map[string]string{"error": err.Error()}
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(encoded))
}
