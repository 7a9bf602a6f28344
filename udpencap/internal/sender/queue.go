package sender

// A queue is the messages that have not gone out entirely. They go in the order in which
// they were queued or, if each stream has its turn, one of each stream after the other. A
// message that was begun is finished first: its chunks are consecutive (RFC 9260 section
// 6.9).
type queue struct {
	turns       bool
	all         lane // where there are no turns
	first, last *lane
}

// A lane is messages that go one after the other.
type lane struct {
	first, last *message
	next        *lane // of those with messages
}

// head is the next message, nil if there is none.
func (q *queue) head() *message {
	if q.first == nil {
		return nil
	}
	return q.first.first
}

// push adds a message.
func (q *queue) push(m *message) {
	l := &q.all
	if q.turns {
		l = &m.out.lane
	}
	m.lane = l
	if l.first == nil {
		l.first = m
		q.append(l)
	} else {
		l.last.next = m
	}
	l.last = m
}

func (q *queue) append(l *lane) {
	if q.first == nil {
		q.first = l
	} else {
		q.last.next = l
	}
	q.last = l
}

// remove removes a message. If it is the next one, another stream has its turn.
func (q *queue) remove(m *message) {
	l := m.lane
	var before *message
	for n := l.first; n != m; n = n.next {
		before = n
	}
	if before == nil {
		l.first = m.next
	} else {
		before.next = m.next
	}
	if l.last == m {
		l.last = before
	}
	m.next, m.lane = nil, nil
	if l.first != nil && (before != nil || l != q.first) {
		return
	}
	var earlier *lane
	for n := q.first; n != l; n = n.next {
		earlier = n
	}
	if earlier == nil {
		q.first = l.next
	} else {
		earlier.next = l.next
	}
	if q.last == l {
		q.last = earlier
	}
	if l.next = nil; l.first != nil {
		q.append(l)
	}
}

// messages returns all messages.
func (q *queue) messages() (ms []*message) {
	for l := q.first; l != nil; l = l.next {
		for m := l.first; m != nil; m = m.next {
			ms = append(ms, m)
		}
	}
	return ms
}

// SetTurns gives each stream its turn from now on.
func (s *Sender) SetTurns() {
	if s.queue.turns {
		return
	}
	waiting := s.queue.messages()
	s.queue = queue{turns: true}
	for _, m := range waiting {
		m.next = nil
		s.queue.push(m)
	}
}
