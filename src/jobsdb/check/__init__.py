"""`jobsdb verify` and `jobsdb doctor`: our objects, and what surrounds them.

checks               a check is a file: its number, sentence, remedy
verify               the checks run
golden               for developers: writes what verify expects
baseline             what the user has accepted
behaviour            --behaviour: two synthetic tenants, rolled back
throwaway            --local: a server for one run
findings, formats    the answer as text, TAP, JSON, JUnit, GitHub
doctor               connection, server, rights, sizes, ages
"""
