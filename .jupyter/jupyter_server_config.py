"""What `otw lab` sets of Jupyter's server; what somebody sets on the command line replaces it."""

c = get_config()  # noqa: F821 Jupyter gives it
# An upload is one message, of 10 MiB at most: a larger one would end the connection. The figure is
# otw.page.MAX_UPLOAD, written out: to import it would load gRPC, which nothing here needs.
c.ServerApp.tornado_settings.update({"websocket_max_message_size": 512 * 1024 * 1024})
# Voila is for `otw explore`. In JupyterLab it would add a button, and a second to the start.
c.ServerApp.jpserver_extensions.update({"voila.server_extension": False})
