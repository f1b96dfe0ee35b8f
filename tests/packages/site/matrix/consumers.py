"""channels."""

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from matrix.models import Product


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("chat", self.channel_name)
        await self.accept()

    async def receive_json(self, content):
        name = await database_sync_to_async(
            lambda: Product.objects.get(name=content["name"]).maker.name
        )()
        user = str(self.scope["user"])
        message = {"type": "say", "maker": name, "user": user}
        await self.channel_layer.group_send("chat", message)

    async def say(self, event):
        await self.send_json({"maker": event["maker"], "user": event["user"]})


class Sync(JsonWebsocketConsumer):
    def receive_json(self, content):
        self.send_json([f"{one.name} by {one.maker.name}" for one in Product.objects.all()[:2]])


urls = [path("chat/", Chat.as_asgi()), path("sync/", Sync.as_asgi())]
router = ProtocolTypeRouter({"websocket": AuthMiddlewareStack(URLRouter(urls))})
