// Command peer is the other side of the interoperability tests: locks and elections of etcd's own Go client,
// driven by the tests through flags and lines on stdin, answering with one JSON object per line on stdout.
//
// Built without modules against Debian's golang-etcd-server-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o bin/peer main.go
//
// Exit status: 0 done, 1 an error (also printed as an event), 2 wrong usage, 3 two owners were seen at once.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	"go.etcd.io/etcd/etcdserver/api/v3rpc/rpctypes"
	pb "go.etcd.io/etcd/etcdserver/etcdserverpb"
	"go.uber.org/zap"
)

const usage = `usage: peer COMMAND [flags]

  lock-loop   lock and unlock -rounds times, with -guard a read-check-write inside
  hold        lock, and unlock at the line "unlock" or at the end of stdin
  trylock     what newer Go clients call TryLock; an owner holds on like hold
  lease-id    grant the lease -lease-id and say which key a lock of -name has under it
  elect       campaign with -value; then the lines "proclaim V", "leader" and "resign"
  resume      go on with the leadership of -key and -token under -lease-id; then the lines of elect
  stm-count   add 1 to the number in -name in -rounds transactions, at the isolation level -value
  observe     every leader of -name until the end of stdin
`

var errOverlap = errors.New("another owner was seen inside the critical section")

type options struct {
	endpoints string
	name      string
	rounds    int
	ttl       int
	leaseID   string
	guard     string
	pause     time.Duration
	value     string
	key       string
	token     int64
}

type peer struct {
	options
	client *clientv3.Client
	input  <-chan string
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func(*peer) error{
		"lock-loop": lockLoop,
		"hold":      hold,
		"trylock":   tryLock,
		"lease-id":  leaseID,
		"elect":     elect,
		"resume":    resume,
		"observe":   observe,
		"stm-count": stmCount,
	}
	command, known := commands[os.Args[1]]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	p := &peer{options: parse(os.Args[1], os.Args[2:]), input: lines()}
	if err := p.run(command); err != nil {
		if errors.Is(err, errOverlap) {
			os.Exit(3)
		}
		say("error", fields{"message": err.Error()})
		os.Exit(1)
	}
}

func parse(command string, arguments []string) (o options) {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	flags.StringVar(&o.endpoints, "endpoint", "127.0.0.1:2379", "host:port, several with commas between")
	flags.StringVar(&o.name, "name", "", "of the lock or election")
	flags.IntVar(&o.rounds, "rounds", 1, "how often to lock")
	flags.IntVar(&o.ttl, "ttl", 10, "of the session, in seconds")
	flags.StringVar(&o.leaseID, "lease-id", "", "use the lease with this id, in hex, granting it if it is not there")
	flags.StringVar(&o.guard, "guard", "", "key that is \"free\" or absent unless somebody is inside")
	flags.DurationVar(&o.pause, "pause", time.Millisecond, "time spent inside")
	flags.StringVar(&o.value, "value", "", "to campaign with")
	flags.StringVar(&o.key, "key", "", "of the leadership to resume")
	flags.Int64Var(&o.token, "token", 0, "of the leadership to resume")
	flags.Parse(arguments)
	return o
}

func (p *peer) run(command func(*peer) error) error {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(p.endpoints, ","),
		DialTimeout: 5 * time.Second,
		LogConfig:   quiet(),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	p.client = client
	return command(p)
}

var levels = map[string]concurrency.Isolation{
	"":                      concurrency.SerializableSnapshot,
	"serializable-snapshot": concurrency.SerializableSnapshot,
	"serializable":          concurrency.Serializable,
	"repeatable-reads":      concurrency.RepeatableReads,
}

func stmCount(p *peer) error {
	level, known := levels[p.value]
	if !known {
		return fmt.Errorf("no such isolation level: %q", p.value)
	}
	say("ready", fields{})
	for round := 0; round < p.rounds; round++ {
		_, err := concurrency.NewSTM(p.client, func(tx concurrency.STM) error {
			number, _ := strconv.Atoi(tx.Get(p.name))
			tx.Put(p.name, strconv.Itoa(number+1))
			return nil
		}, concurrency.WithIsolation(level))
		if err != nil {
			return err
		}
	}
	say("counted", fields{})
	return nil
}

func lockLoop(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Close()
	say("ready", fields{"lease": hex(session.Lease())})
	mutex := concurrency.NewMutex(session, p.name)
	for round := 0; round < p.rounds; round++ {
		if err := mutex.Lock(p.client.Ctx()); err != nil {
			return err
		}
		sayAcquired(mutex)
		if err := p.enterCriticalSection(session); err != nil {
			return err
		}
		key := mutex.Key()
		// Said before the call: whatever comes after this line may overlap with the next owner.
		say("releasing", fields{"key": key})
		if err := mutex.Unlock(p.client.Ctx()); err != nil {
			return err
		}
		say("released", fields{"key": key})
	}
	return nil
}

func hold(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, p.name)
	// The key the call is about to create: whoever sees it in etcd knows that this process stands in line.
	say("locking", fields{"key": p.name + "/" + hex(session.Lease()), "lease": hex(session.Lease())})
	if err := mutex.Lock(p.client.Ctx()); err != nil {
		return err
	}
	sayAcquired(mutex)
	p.awaitLine("unlock")
	key := mutex.Key()
	if err := mutex.Unlock(p.client.Ctx()); err != nil {
		return err
	}
	say("released", fields{"key": key})
	return nil
}

// tryLock sends what the Go client sends since 3.5: create-if-absent together with a look at the owner, and a
// delete of its own key when that owner is somebody else. The 3.4 client it is built on has no such call.
func tryLock(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Close()
	ctx := p.client.Ctx()
	key := p.name + "/" + hex(session.Lease())
	firstInLine := clientv3.OpGet(p.name+"/", clientv3.WithFirstCreate()...)
	response, err := p.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, "", clientv3.WithLease(session.Lease())), firstInLine).
		Else(clientv3.OpGet(key), firstInLine).
		Commit()
	if err != nil {
		return err
	}
	revision := response.Header.Revision
	if !response.Succeeded {
		revision = response.Responses[0].GetResponseRange().Kvs[0].CreateRevision
	}
	owners := response.Responses[1].GetResponseRange().Kvs
	if len(owners) > 0 && owners[0].CreateRevision != revision {
		if _, err := p.client.Delete(ctx, key); err != nil {
			return err
		}
		say("not-owned", fields{"key": key, "owner": string(owners[0].Key)})
		return nil
	}
	say("owned", fields{"key": key, "token": decimal(revision)})
	p.awaitLine("unlock")
	if _, err := p.client.Delete(ctx, key); err != nil {
		return err
	}
	say("released", fields{"key": key})
	return nil
}

func leaseID(p *peer) error {
	if p.leaseID == "" {
		return errors.New("lease-id needs -lease-id")
	}
	id, err := p.grant()
	if err != nil {
		return err
	}
	say("granted", fields{"lease": hex(id), "key": p.name + "/" + hex(id)})
	return nil
}

func elect(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Close()
	election := concurrency.NewElection(session, p.name)
	say("campaigning", fields{"key": p.name + "/" + hex(session.Lease()), "lease": hex(session.Lease())})
	if err := election.Campaign(p.client.Ctx(), p.value); err != nil {
		return err
	}
	say("elected", fields{"key": election.Key(), "token": decimal(election.Rev())})
	return lead(p, election)
}

// resume leaves the lease to whoever has it: the session is not closed, since that would revoke it.
func resume(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Orphan()
	// The prefix is taken as it is given: without the slash it would be that of other elections, too.
	election := concurrency.ResumeElection(session, p.name+"/", p.key, p.token)
	say("resumed", fields{"key": election.Key(), "token": decimal(election.Rev())})
	return lead(p, election)
}

func lead(p *peer, election *concurrency.Election) error {
	ctx := p.client.Ctx()
	for line := range p.input {
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "proclaim":
			if err := election.Proclaim(ctx, rest); err != nil {
				return err
			}
			say("proclaimed", fields{"value": rest})
		case "leader":
			response, err := election.Leader(ctx)
			if err != nil {
				return err
			}
			sayLeader(response)
		case "resign":
			return resign(ctx, election)
		default:
			return fmt.Errorf("elect does not know the line %q", line)
		}
	}
	return resign(ctx, election)
}

func resign(ctx context.Context, election *concurrency.Election) error {
	key := election.Key()
	if err := election.Resign(ctx); err != nil {
		return err
	}
	say("resigned", fields{"key": key})
	return nil
}

func observe(p *peer) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, cancel := context.WithCancel(p.client.Ctx())
	defer cancel()
	go func() {
		for range p.input {
		}
		cancel()
	}()
	say("ready", fields{"lease": hex(session.Lease())})
	for response := range concurrency.NewElection(session, p.name).Observe(ctx) {
		sayLeader(&response)
	}
	return nil
}

// enterCriticalSection fails with errOverlap when somebody else is inside. It looks with plain reads and
// writes on purpose: a compare would repair the very overlap it is there to find.
func (p *peer) enterCriticalSection(session *concurrency.Session) error {
	if p.guard == "" {
		return nil
	}
	ctx := p.client.Ctx()
	found, err := p.client.Get(ctx, p.guard)
	if err != nil {
		return err
	}
	if len(found.Kvs) > 0 && string(found.Kvs[0].Value) != "free" {
		say("overlap", fields{"guard": string(found.Kvs[0].Value)})
		return errOverlap
	}
	busy := "busy:" + hex(session.Lease())
	if _, err := p.client.Put(ctx, p.guard, busy); err != nil {
		return err
	}
	time.Sleep(p.pause)
	found, err = p.client.Get(ctx, p.guard)
	if err != nil {
		return err
	}
	if len(found.Kvs) == 0 || string(found.Kvs[0].Value) != busy {
		say("overlap", fields{"guard": fmt.Sprint(found.Kvs)})
		return errOverlap
	}
	_, err = p.client.Put(ctx, p.guard, "free")
	return err
}

func (p *peer) session() (*concurrency.Session, error) {
	if p.leaseID == "" {
		return concurrency.NewSession(p.client, concurrency.WithTTL(p.ttl))
	}
	id, err := p.grant()
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(p.client, concurrency.WithTTL(p.ttl), concurrency.WithLease(id))
}

// grant asks the raw API, because the client's own Grant always lets the server choose the id.
func (p *peer) grant() (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(p.leaseID, "0x"), 16, 64)
	if err != nil {
		return 0, err
	}
	request := &pb.LeaseGrantRequest{TTL: int64(p.ttl), ID: id}
	_, err = clientv3.RetryLeaseClient(p.client).LeaseGrant(p.client.Ctx(), request)
	if err != nil && rpctypes.Error(err) != rpctypes.ErrLeaseExist {
		return 0, err
	}
	return clientv3.LeaseID(id), nil
}

// awaitLine returns at that line, or when stdin ends.
func (p *peer) awaitLine(wanted string) {
	for line := range p.input {
		if line == wanted {
			return
		}
	}
}

func lines() <-chan string {
	channel := make(chan string)
	go func() {
		defer close(channel)
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			channel <- strings.TrimSpace(scanner.Text())
		}
	}()
	return channel
}

type fields map[string]string

var stdout sync.Mutex

// say prints one event. "ns" is the machine's monotonic clock, the one Node calls process.hrtime, so that
// events of several processes can be put in order.
func say(event string, more fields) {
	line := fields{"event": event, "ns": decimal(monotonicNs())}
	for name, value := range more {
		line[name] = value
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	stdout.Lock()
	defer stdout.Unlock()
	os.Stdout.Write(append(encoded, '\n'))
}

func sayAcquired(mutex *concurrency.Mutex) {
	owner := pb.Compare(mutex.IsOwner())
	say("acquired", fields{"key": mutex.Key(), "token": decimal(owner.GetCreateRevision())})
}

func sayLeader(response *clientv3.GetResponse) {
	leader := response.Kvs[0]
	say("leader", fields{
		"key":   string(leader.Key),
		"value": string(leader.Value),
		"token": decimal(leader.CreateRevision),
	})
}

// hex writes an id as the keys of locks have it: without leading zeros.
func hex(id clientv3.LeaseID) string { return strconv.FormatInt(int64(id), 16) }

func decimal(number int64) string { return strconv.FormatInt(number, 10) }

func monotonicNs() int64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func quiet() *zap.Config {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zap.FatalLevel)
	return &config
}
