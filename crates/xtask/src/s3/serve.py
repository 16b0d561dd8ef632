"""moto's server, one request at a time.

moto looks whether an object is there and then writes it: two steps, between which another thread's may fall, so that under
load two creations of one object succeed once in a while. The product's probe notices and refuses such a store.
"""

import threading

from moto import server

turn = threading.Lock()
handle = server.DomainDispatcherApplication.__call__


def one_at_a_time(application, environ, start_response):
    with turn:
        return handle(application, environ, start_response)


server.DomainDispatcherApplication.__call__ = one_at_a_time
server.main()
